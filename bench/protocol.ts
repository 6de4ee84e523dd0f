import { randomBytes } from 'node:crypto';
import { Secret } from '../src/bytes/index.ts';
import { getSuite } from '../src/mls/suite.ts';
import {
  activate,
  allocateOperation,
  createReuseGuard,
  deriveEmulationEpoch,
  derivePathKeys,
  draft00,
  encodePprfState,
  generationId,
  guardKey,
  recoverSender,
  type EmulationEpoch,
  type Protocol,
} from '../src/virtual-client/index.ts';

// What the virtual client costs a device, in Node: `npm run bench`. Printed, never asserted.

const protocol: Protocol = { suite: getSuite(1), revision: draft00 };
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
/** Devices of the account: N_e, which allocation has to draw for. */
const DEVICES = [1, 8, 64] as const;

for (const devices of DEVICES) {
  console.log(`\n${devices} device${devices === 1 ? '' : 's'}`);
  let epoch = newEpoch(devices);
  const first = allocateOperation(protocol, epoch, random).value;
  const { next: leaf } = activate(protocol, first, protocol.suite);
  const key = guardKey(epoch, leaf);
  const nonce = random(12);

  measure('allocate an operation', 300, () => (epoch = allocateOperation(protocol, epoch, random).next));
  measure('its leaf key and path secret', 100, () => derivePathKeys(protocol, first, protocol.suite));
  measure('draw a reuse guard', 2_000, () => createReuseGuard(protocol, key, nonce, random));
  const guard = createReuseGuard(protocol, key, nonce, random);
  measure('recover its sender', 2_000, () => recoverSender(protocol, key, nonce, guard));
  measure('generation ID', 2_000, () => generationId(protocol, epoch, 7, 'application'));
  console.log(`  PPRF after its operations: ${encodePprfState(epoch.pprf).length} bytes`);
}

function newEpoch(devices: number): EmulationEpoch {
  const roster = Array.from({ length: devices }, (_, emulatorLeaf) => ({ emulatorLeaf, signatureKey: random(32) }));
  const secret = Secret.of('component_secret', random(32));
  return deriveEmulationEpoch(protocol, secret, { epoch: 1n, leafCount: devices, roster, ownEmulatorLeaf: devices - 1 }).next;
}

/** Prints the median of single runs, after a tenth of them to warm up. */
function measure(what: string, runs: number, action: () => unknown): void {
  for (let run = 0; run < runs / 10; run++) action();
  const times = Array.from({ length: runs }, () => {
    const started = performance.now();
    action();
    return performance.now() - started;
  }).sort((a, b) => a - b);
  const median = times[Math.floor(runs / 2)] ?? Number.NaN;
  console.log(`  ${what.padEnd(36)} ${(1_000 * median).toFixed(1).padStart(8)} µs`);
}
