/** What the UI may see of the engine: types alone. */
export type * from '../engine/view.ts';
