import { decodeGroupRecords } from '../../src/engine/records.ts';
import { samplesOf } from './samples.ts';
import type { PlayedScene } from './scene.ts';
import type { Target } from './target.ts';
import { deliveryTargets } from './targets-delivery.ts';
import { engineTargets } from './targets-engine.ts';
import { mlsTargets } from './targets-mls.ts';
import { virtualClientTargets } from './targets-virtual-client.ts';

/** All that takes outside bytes and gives a value, with samples of what a few real devices have sent and stored. */
export async function allTargets(scene: PlayedScene): Promise<Target[]> {
  const samples = samplesOf(scene);
  const group = decodeGroupRecords(samples.conversationId, samples.records)!;
  return [...virtualClientTargets(), ...mlsTargets(samples, group), ...engineTargets(samples), ...(await deliveryTargets(samples))];
}

/** Exported functions with a decoder's name that take nothing from outside, or are all the others' common part. */
export const NO_TARGET: Readonly<Record<string, string>> = {
  decode: 'the frame of all decoders of wire structs',
  decodeState: 'records that the store has authenticated; each is made by a decoder that is a target',
  markRead: 'a command',
  readRange: 'a cursor over the store',
  readBody: 'a stream of bytes, as it is',
  readTrustProxy: 'a setting of whoever runs the server',
  readsOf: 'statements of the database',
};
