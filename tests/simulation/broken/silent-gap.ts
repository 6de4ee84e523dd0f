import { viewOf as real } from '../../../src/engine/view-builder.ts';

export * from '../../../src/engine/view-builder.ts';

/** A conversation that the device has lost step in looks like any other. */
export const viewOf: typeof real = (state, connection, storage) => {
  const view = real(state, connection, storage);
  const conversations = view.conversations.map((each) => (each.state === 'out-of-step' ? { ...each, state: 'ready' as const } : each));
  return { ...view, conversations };
};
