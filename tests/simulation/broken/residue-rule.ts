import * as real from '../../../src/virtual-client/operation-secrets.ts';

export * from '../../../src/virtual-client/operation-secrets.ts';

/** Any leaf of the PPRF will do, though it may be another device's. */
export const allocateOperation: typeof real.allocateOperation = (protocol, epoch, random) =>
  real.evaluateOperation(protocol, epoch, epoch.ownEmulatorLeaf!, random(protocol.suite.nh));
