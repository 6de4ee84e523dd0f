import type { forgetUnnamedEpochs as real } from '../../../src/engine/retention.ts';

export * from '../../../src/engine/retention.ts';

/** No emulation epoch ever goes. */
export const forgetUnnamedEpochs: typeof real = () => undefined;
