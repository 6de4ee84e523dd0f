import type { forgetUnnamedEpochs as real } from '../../../src/engine/retention.ts';

export * from '../../../src/engine/retention.ts';

/** An emulation epoch goes when the next one begins, whatever still names it. */
export const forgetUnnamedEpochs: typeof real = (turn) => {
  const { emulation } = turn.state;
  const current = emulation?.epochs.get(emulation.currentEpochId);
  if (emulation === undefined || current === undefined || emulation.epochs.size === 1) return;
  turn.updateEmulation({ epochs: new Map([[emulation.currentEpochId, current]]) });
};
