import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import {
  decapsulateInitSecret,
  deriveEpochSecret,
  deriveExternalKeyPair,
  deriveJoinerSecret,
  deriveMemberSecret,
  deriveWelcomeSecret,
  encapsulateInitSecret,
  exportSecret,
  startEpoch,
} from '../../../src/mls/key-schedule.ts';
import { derivePskSecret } from '../../../src/mls/psk.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { confirmationTag, confirmedTranscriptHash, interimTranscriptHash, verifyConfirmationTag } from '../../../src/mls/transcript.ts';
import { authenticatedContentCodec, decodeExact, suiteName, type GroupContext, type PreSharedKeyID } from '../../../src/mls/ts-mls.ts';
import { groupContextCodec } from '../../../src/mls/ts-mls.ts';
import { toHex } from '../../../src/bytes/index.ts';
import { loadSuiteVectors, vectorsPresent } from '../../support/mls-vectors.ts';

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

describe.each([1, 3] as const)('ciphersuite %i', (id) => {
  const suite = getSuite(id);

  describe.skipIf(!vectorsPresent)('working group vectors', () => {
    it.each(loadSuiteVectors('key-schedule', id))('$name: every secret of every epoch', (vector) => {
      const groupId = vector.bytes('group_id');
      let initSecret = Secret.of('init_secret', vector.bytes('initial_init_secret'));
      const epochs = vector.vectors('epochs');
      expect(epochs.length).toBeGreaterThan(0);
      for (const [number, epoch] of epochs.entries()) {
        const context: GroupContext = {
          version: 'mls10',
          cipherSuite: suiteName(id),
          groupId,
          epoch: BigInt(number),
          treeHash: epoch.bytes('tree_hash'),
          confirmedTranscriptHash: epoch.bytes('confirmed_transcript_hash'),
          extensions: [],
        };
        expect(groupContextCodec.encode(context)).toEqual(epoch.bytes('group_context'));
        const joiner = deriveJoinerSecret(suite, initSecret, Secret.of('commit_secret', epoch.bytes('commit_secret')), context);
        expect(joiner.reveal()).toEqual(epoch.bytes('joiner_secret'));
        const member = deriveMemberSecret(suite, joiner, Secret.of('psk_secret', epoch.bytes('psk_secret')));
        expect(deriveWelcomeSecret(suite, member).reveal()).toEqual(epoch.bytes('welcome_secret'));
        const { schedule, secretTree } = startEpoch(suite, deriveEpochSecret(suite, member, context), {
          leafCount: 4,
          useSafeExporter: false,
        });
        expect([...secretTree.nodes.values()].map((node) => toHex(node.reveal()))).toEqual([epoch.text('encryption_secret')]);
        expect(schedule.senderDataSecret.reveal()).toEqual(epoch.bytes('sender_data_secret'));
        expect(schedule.exporterSecret.reveal()).toEqual(epoch.bytes('exporter_secret'));
        expect(schedule.externalSecret.reveal()).toEqual(epoch.bytes('external_secret'));
        expect(schedule.confirmationKey.reveal()).toEqual(epoch.bytes('confirmation_key'));
        expect(schedule.membershipKey.reveal()).toEqual(epoch.bytes('membership_key'));
        expect(schedule.resumptionPsk.reveal()).toEqual(epoch.bytes('resumption_psk'));
        expect(schedule.epochAuthenticator).toEqual(epoch.bytes('epoch_authenticator'));
        expect(schedule.initSecret.reveal()).toEqual(epoch.bytes('init_secret'));
        expect(deriveExternalKeyPair(suite, schedule.externalSecret).publicKey).toEqual(epoch.bytes('external_pub'));
        const exporter = epoch.vector('exporter');
        const exported = exportSecret(
          suite,
          schedule.exporterSecret,
          exporter.text('label'),
          exporter.bytes('context'),
          exporter.number('length'),
        );
        expect(exported.reveal()).toEqual(exporter.bytes('secret'));
        initSecret = schedule.initSecret;
      }
    });

    it.each(loadSuiteVectors('psk_secret', id))('$name: psk_secret', (vector) => {
      const known = new Map(vector.vectors('psks').map((psk) => [psk.text('psk_id'), psk.bytes('psk')]));
      const ids = vector.vectors('psks').map((psk): PreSharedKeyID => {
        return { psktype: 'external', pskId: psk.bytes('psk_id'), pskNonce: psk.bytes('psk_nonce') };
      });
      const derived = derivePskSecret(suite, ids, (psk) => {
        const value = psk.psktype === 'external' ? known.get(toHex(psk.pskId)) : undefined;
        return value === undefined ? undefined : Secret.of('psk', value);
      });
      expect(derived.reveal()).toEqual(vector.bytes('psk_secret'));
    });

    it.each(loadSuiteVectors('transcript-hashes', id))('$name: transcript hashes', (vector) => {
      const { wireformat, content, auth } = decodeExact(authenticatedContentCodec, vector.bytes('authenticated_content'));
      if (content.contentType !== 'commit' || auth.contentType !== 'commit') throw new Error('the vector holds no commit');
      const { signature } = auth;
      const confirmed = confirmedTranscriptHash(suite, vector.bytes('interim_transcript_hash_before'), { wireformat, content, signature });
      expect(confirmed).toEqual(vector.bytes('confirmed_transcript_hash_after'));
      const key = Secret.of('confirmation_key', vector.bytes('confirmation_key'));
      expect(confirmationTag(suite, key, confirmed)).toEqual(auth.confirmationTag);
      expect(interimTranscriptHash(suite, confirmed, auth.confirmationTag)).toEqual(vector.bytes('interim_transcript_hash_after'));
      expect(() => verifyConfirmationTag(suite, key, confirmed, random(32))).toThrow('invalid-confirmation-tag');
    });
  });

  it('gives joiner and members the same init secret of an external commit', () => {
    const externalSecret = Secret.of('external_secret', random(32));
    const { publicKey } = deriveExternalKeyPair(suite, externalSecret);
    const ephemeral = suite.deriveKeyPair(random(32));
    const joiner = encapsulateInitSecret(suite, publicKey, ephemeral);
    expect(joiner.kemOutput).toEqual(ephemeral.publicKey);
    expect(decapsulateInitSecret(suite, externalSecret, joiner.kemOutput).reveal()).toEqual(joiner.initSecret.reveal());
  });

  it('wipes the epoch secret once the epoch has started', () => {
    const epochSecret = Secret.of('epoch_secret', random(32));
    expect(startEpoch(suite, epochSecret, { leafCount: 1, useSafeExporter: true }).exporter).toBeDefined();
    expect(epochSecret.wiped).toBe(true);
  });

  it('refuses a PSK that nobody gave and a nonce of a wrong length', () => {
    const psk: PreSharedKeyID = { psktype: 'external', pskId: random(4), pskNonce: random(32) };
    expect(() => derivePskSecret(suite, [psk], () => undefined)).toThrow('unknown-psk');
    const short: PreSharedKeyID = { ...psk, pskNonce: random(31) };
    expect(() => derivePskSecret(suite, [short], () => Secret.of('psk', random(32)))).toThrow('invalid-psk-nonce');
  });
});
