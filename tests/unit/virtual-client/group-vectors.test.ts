import { describe, expect, it } from 'vitest';
import { generateVectors } from '../../../scripts/vectors/generate.ts';
import type { OperationInputs, TransferVector, Vector } from '../../../scripts/vectors/types.ts';
import { decodeResyncMessage } from '../../../src/virtual-client/emulation-message.ts';
import { openStateBlob } from '../../../src/virtual-client/group-transfer.ts';
import { decodeNewEmulatorClientState, encodeNewEmulatorClientState } from '../../../src/virtual-client/onboarding.ts';
import * as own from './independent.ts';
import { bytes, deriveSecret, u16, u32, u64, u8, v } from './independent.ts';
import { protocol } from './setup.ts';

// The second half of the published vectors: whole messages and groups (docs/test-vectors.md).

/** What the code makes now, which vectors.test.ts holds against what was published. */
const vectors = await generateVectors(1n, 10);
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');
const child = (operation: OperationInputs, label: string): Buffer => deriveSecret(bytes(operation.operation_secret), label);
const NONE = Buffer.alloc(0);

describe.each(vectors.map((vector, index) => ({ vector, index })))(
  'vector $index agrees with a second implementation in whole messages',
  ({ vector }) => {
    it('the later operations are of the same epoch and puncture it further', () => {
      const later = [...vector.onboarding.operations, vector.group_creation.operation, vector.update_path.operation];
      for (const operation of [...later, vector.external_commit.operation]) {
        const input = own.hash(Buffer.concat([u32(operation.leaf_index), v(bytes(operation.random))]));
        expect(operation.pprf_leaf).toBe(input.readUInt32BE(0));
        expect(operation.pprf_leaf % vector.leaf_count).toBe(operation.leaf_index);
        expect(operation.operation_secret).toBe(hex(own.leafSecret(bytes(vector.epoch_base_secret), 32, operation.pprf_leaf)));
      }
    });

    it('ResyncMessage is its type and the key', () => {
      const { signature_private_key, emulation_message } = vector.resync_message;
      expect(emulation_message).toBe(hex(Buffer.concat([u8(1), v(bytes(signature_private_key))])));
      expect(hex(decodeResyncMessage(bytes(emulation_message)).reveal())).toBe(signature_private_key);
    });

    it('NewEmulatorClientState is the serialisation of its parts', () => {
      const { onboarding } = vector;
      expect(onboarding.new_emulator_client_state).toBe(hex(newEmulatorClientState(vector)));
      const decoded = decodeNewEmulatorClientState(protocol, bytes(onboarding.new_emulator_client_state));
      expect(hex(encodeNewEmulatorClientState(decoded))).toBe(onboarding.new_emulator_client_state);
    });

    it('a referenced state is sealed under its key, bound to its group', () => {
      const { state_reference: reference } = vector.onboarding;
      const blob = own.aes128GcmSeal(bytes(reference.blob_key), Buffer.alloc(12), bytes(reference.group_id), transferOf(vector, reference));
      expect(reference.blob).toBe(hex(blob));
      expect(reference.blob_hash).toBe(hex(own.hash(blob)));
      expect(reference.blob_length).toBe(blob.length);
      const { higherLevelGroups } = decodeNewEmulatorClientState(protocol, bytes(vector.onboarding.new_emulator_client_state));
      const named = higherLevelGroups.find((group) => group.type === 'state_reference')!;
      const opened = openStateBlob(protocol, bytes(reference.group_id), named, blob);
      expect(hex(opened.groupState)).toBe(reference.group_state);
    });

    it('the account binding is the authentication service’s word', () => {
      const { account } = vector;
      const key = own.ed25519PublicKey(bytes(account.signature_private_key));
      const tbs = Buffer.concat([v(bytes(account.account_id)), u32(account.key_version), v(key)]);
      const label = Buffer.concat([v(Buffer.from('MLS Component')), u16(0x8a05), v(Buffer.from('AccountBinding'))]);
      const signature = own.signWithLabel(bytes(account.authentication_private_key), label, tbs);
      expect(account.account_binding).toBe(hex(Buffer.concat([tbs, v(signature)])));
    });

    it('a created group starts from group_creation_secret', () => {
      const { group_creation: creation } = vector;
      expect(creation.epoch_secret).toBe(hex(child(creation.operation, 'Group Creation')));
      const epochSecret = bytes(creation.epoch_secret);
      expect(creation.confirmation_tag).toBe(hex(own.mac(deriveSecret(epochSecret, 'confirm'), NONE)));
      expect(creation.epoch_authenticator).toBe(hex(deriveSecret(epochSecret, 'authentication')));
      const externalPub = v(own.hpkePublicKey(deriveSecret(epochSecret, 'external')));
      const leaf = bytes(creation.leaf_node);
      const groupInfo = bytes(creation.group_info);
      for (const part of [leaf, externalPub, v(bytes(creation.group_id)), v(bytes(creation.confirmation_tag))]) {
        expect(groupInfo.includes(part)).toBe(true);
      }
      const encryptionKey = own.hpkePublicKey(child(creation.operation, 'Encryption Key'));
      expect(hex(leaf.subarray(0, 33))).toBe(hex(v(encryptionKey)));
      expect(leaf.includes(derivationInfo(vector, creation.operation, encryptionKey))).toBe(true);
    });

    it('a path has the prescribed secrets, and each member’s ciphertext holds the one for it', () => {
      const { update_path: path } = vector;
      const secrets = [child(path.operation, 'Path Generation')];
      for (let node = 1; node <= path.path_secrets.length; node++) secrets.push(deriveSecret(secrets[node - 1]!, 'path'));
      expect([...path.path_secrets, path.commit_secret]).toEqual(secrets.map(hex));
      const whole = bytes(path.update_path);
      const encryptionKey = own.hpkePublicKey(child(path.operation, 'Encryption Key'));
      expect(hex(whole.subarray(0, 33))).toBe(hex(v(encryptionKey)));
      expect(whole.includes(derivationInfo(vector, path.operation, encryptionKey))).toBe(true);
      const opened = nodesOf(path, whole).map(({ publicKey, ciphertexts }, i) => {
        expect(hex(publicKey)).toBe(hex(own.hpkePublicKey(deriveSecret(secrets[i]!, 'node'))));
        return ciphertexts.filter(({ kemOutput, ciphertext }) =>
          privateKeysOf(path).some((key) => {
            try {
              return own.decryptWithLabel(key, 'UpdatePathNode', bytes(path.group_context), kemOutput, ciphertext).equals(secrets[i]!);
            } catch {
              return false;
            }
          }),
        ).length;
      });
      expect(opened).toEqual(nodesOf(path, whole).map(({ ciphertexts }) => ciphertexts.length));
    });

    it('an external commit’s encapsulation follows from the operation, and both sides have its secret', () => {
      const { external_commit: join } = vector;
      expect(join.external_init_seed).toBe(hex(child(join.operation, 'External Init')));
      expect(join.kem_output).toBe(hex(own.hpkePublicKey(bytes(join.external_init_seed))));
      expect(join.external_pub).toBe(hex(own.x25519PublicKey(bytes(join.external_private_key))));
      const receiver = own.hpkeReceiver(bytes(join.external_private_key), bytes(join.kem_output), NONE);
      expect(join.init_secret).toBe(hex(receiver.export(Buffer.from('MLS 1.0 external init secret'), 32)));
      expect(join.commit_secret).toBe(hex(deriveSecret(child(join.operation, 'Path Generation'), 'path')));
      const commit = bytes(join.commit);
      const encryptionKey = own.hpkePublicKey(child(join.operation, 'Encryption Key'));
      const parts = [v(bytes(join.kem_output)), v(encryptionKey), derivationInfo(vector, join.operation, encryptionKey)];
      for (const part of [...parts, v(bytes(join.confirmation_tag))]) expect(commit.includes(part)).toBe(true);
      expect(bytes(join.group_info).includes(v(bytes(join.external_pub)))).toBe(true);
    });
  },
);

function derivationInfo(vector: Vector, operation: OperationInputs, encryptionKey: Buffer): Buffer {
  const key = own.expandWithLabel(bytes(vector.epoch_encryption_key), 'key', encryptionKey, 16);
  const nonce = own.expandWithLabel(bytes(vector.epoch_encryption_key), 'nonce', encryptionKey, 12);
  const tbe = Buffer.concat([u32(operation.leaf_index), v(bytes(operation.random))]);
  return Buffer.concat([v(bytes(vector.epoch_id)), v(own.aes128GcmSeal(key, nonce, bytes(vector.epoch_id), tbe))]);
}

function retainedOperation(vector: Vector, operation: OperationInputs): Buffer {
  const secrets = [v(bytes(operation.random)), v(bytes(operation.operation_secret))];
  return Buffer.concat([v(bytes(vector.epoch_id)), u32(operation.leaf_index), ...secrets]);
}

/** The fields of the state_transfer case. */
function transferOf(vector: Vector, transfer: TransferVector): Buffer {
  const operations = vector.onboarding.operations;
  const leaf = operations[transfer.leaf_operation]!;
  const privateKey = own.hpkePrivateKey(child(leaf, 'Encryption Key'));
  const liveLeaf = Buffer.concat([v(bytes(vector.epoch_id)), v(privateKey), v(child(leaf, 'Leaf Node'))]);
  expect(transfer.live_leaf).toBe(hex(liveLeaf));
  const pending = transfer.pending_operations.map((index) => retainedOperation(vector, operations[index]!));
  return Buffer.concat([u64(BigInt(transfer.log_position)), v(bytes(transfer.group_state)), liveLeaf, v(...pending)]);
}

function newEmulatorClientState(vector: Vector): Buffer {
  const { onboarding } = vector;
  const punctured = [...vector.operations, ...onboarding.operations].map(({ pprf_leaf }) => pprf_leaf);
  const epoch = Buffer.concat([
    v(bytes(vector.epoch_id)),
    u64(BigInt(onboarding.emulation_epoch.epoch)),
    u32(vector.leaf_count),
    v(...onboarding.emulation_epoch.leaves.map((leaf) => Buffer.concat([u32(leaf.leaf_index), v(bytes(leaf.signature_key))]))),
    own.pprfState(bytes(vector.epoch_base_secret), 32, punctured),
    v(bytes(vector.epoch_encryption_key)),
    v(bytes(vector.generation_id_secret)),
  ]);
  const { state_transfer: transfer, external_commit: external, state_reference: reference } = onboarding;
  return Buffer.concat([
    u64(BigInt(onboarding.sequence)),
    v(...onboarding.signing_keys.map((key) => Buffer.concat([u32(key.key_version), v(bytes(key.signature_private_key))]))),
    v(
      ...onboarding.active_key_packages.map(({ key_package_ref, operation }) =>
        Buffer.concat([v(bytes(key_package_ref)), retainedOperation(vector, onboarding.operations[operation]!)]),
      ),
    ),
    v(epoch),
    v(
      Buffer.concat([v(bytes(transfer.group_id)), u8(1), transferOf(vector, transfer)]),
      Buffer.concat([v(bytes(external.group_id)), u8(2)]),
      Buffer.concat([
        v(bytes(reference.group_id)),
        u8(3),
        v(bytes(reference.blob_key)),
        v(bytes(reference.blob_hash)),
        u64(BigInt(reference.blob_length)),
      ]),
    ),
    v(bytes(onboarding.application_data)),
  ]);
}

function privateKeysOf(path: Vector['update_path']): Buffer[] {
  return path.members.flatMap((member) => [
    bytes(member.encryption_private_key),
    ...member.path_private_keys.map(({ private_key }) => bytes(private_key)),
  ]);
}

/** `UpdatePathNode nodes<V>`, which ends the struct. */
function nodesOf(path: Vector['update_path'], whole: Buffer) {
  const nodes: { publicKey: Buffer; ciphertexts: { kemOutput: Buffer; ciphertext: Buffer }[] }[] = [];
  const first = own.hpkePublicKey(deriveSecret(bytes(path.path_secrets[0]!), 'node'));
  let rest = whole.subarray(whole.indexOf(v(first)));
  const take = (): Buffer => {
    const long = rest[0]! >= 0x40;
    const length = long ? rest.readUInt16BE(0) - 0x4000 : rest[0]!;
    const start = long ? 2 : 1;
    const taken = rest.subarray(start, start + length);
    rest = rest.subarray(start + length);
    return taken;
  };
  while (rest.length > 0) {
    const publicKey = take();
    const ciphertexts: { kemOutput: Buffer; ciphertext: Buffer }[] = [];
    const list = take();
    const behind = rest;
    for (rest = list; rest.length > 0;) ciphertexts.push({ kemOutput: take(), ciphertext: take() });
    rest = behind;
    nodes.push({ publicKey, ciphertexts });
  }
  return nodes;
}
