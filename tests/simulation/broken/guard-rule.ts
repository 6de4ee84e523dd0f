import * as real from '../../../src/virtual-client/reuse-guard.ts';

export * from '../../../src/virtual-client/reuse-guard.ts';

/** Guards whose preimages say nothing about the device. */
export const createReuseGuard: typeof real.createReuseGuard = (protocol, key, keyScheduleNonce, random) => {
  const preimage = Buffer.from(random(4)).readUInt32BE(0);
  return real.encodeReuseGuard(protocol, key, keyScheduleNonce, preimage);
};
