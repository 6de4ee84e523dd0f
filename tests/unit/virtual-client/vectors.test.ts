import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { generateVectors } from '../../../scripts/vectors/generate.ts';
import type { OperationVector, Vector } from '../../../scripts/vectors/types.ts';
import * as own from './independent.ts';
import { bytes, deriveSecret, u16, u32, u64, u8, v } from './independent.ts';

const file = new URL('../../../test-vectors/virtual-clients-draft-00.json', import.meta.url);
const published = readFileSync(file, 'utf8');
/** What the code makes now, so that each test below is one of the code; that it is what was published is the first. */
const vectors = await generateVectors(1n, 10);

const hex = (value: Buffer): string => value.toString('hex');

describe('the published test vectors', () => {
  it('are what the command prints for seed 1 and count 10', () => {
    expect(`${JSON.stringify(vectors, null, 2)}\n`).toBe(published);
  });

  it('come out of npm run vectors as JSON and nothing else', async () => {
    const printed = execFileSync('npm', ['run', '--silent', 'vectors', '--', '--seed', '7', '--count', '1'], { encoding: 'utf8' });
    expect(JSON.parse(printed)).toEqual(await generateVectors(7n, 1));
  });

  it('are ten', () => expect(vectors).toHaveLength(10));

  it('differ in their inputs, within one seed and between two', async () => {
    const inputs = [...vectors, ...(await generateVectors(2n, 3))].flatMap((vector) => [
      vector.application_export_secret,
      vector.pprf.root,
      vector.recovery.phrase_entropy,
      vector.recovery.signature_key,
      vector.recovery.group_id,
      vector.external_join.group_id,
      ...vector.operations.map((operation) => operation.random),
      ...vector.reuse_guards.flatMap((guard) => [guard.leaf_node_secret, guard.key_schedule_nonce]),
      ...vector.key_package_upload.key_packages.flatMap((info) => [info.key_package_ref, info.random]),
      vector.resync_message.signature_private_key,
      vector.account.account_id,
      vector.account.signature_private_key,
      vector.account.authentication_private_key,
      vector.group_creation.group_id,
      vector.external_commit.external_private_key,
      ...[vector.group_creation, vector.update_path, vector.external_commit].map(({ operation }) => operation.random),
      ...vector.onboarding.operations.map((operation) => operation.random),
      ...vector.onboarding.signing_keys.map((key) => key.signature_private_key),
      ...vector.update_path.members.map((member) => member.encryption_private_key),
    ]);
    expect(new Set(inputs).size).toBe(inputs.length);
  });
});

describe.each(vectors.map((vector, index) => ({ vector, index })))('vector $index agrees with a second implementation', ({ vector }) => {
  it('in the safe exporter and the epoch secrets', () => {
    expect(vector.cipher_suite).toBe(1);
    const root = bytes(vector.application_export_secret);
    const emulatorEpochSecret = own.leafSecret(root, 16, 0x8a00);
    expect(vector.emulator_epoch_secret).toBe(hex(emulatorEpochSecret));
    expect(vector.exporter_tree_after).toBe(hex(own.pprfState(root, 16, [0x8a00])));
    expect(vector.epoch_id).toBe(hex(deriveSecret(emulatorEpochSecret, 'Epoch ID')));
    expect(vector.epoch_base_secret).toBe(hex(deriveSecret(emulatorEpochSecret, 'Base Secret')));
    expect(vector.epoch_encryption_key).toBe(hex(deriveSecret(emulatorEpochSecret, 'Encryption Key')));
    expect(vector.generation_id_secret).toBe(hex(deriveSecret(emulatorEpochSecret, 'Generation ID Secret')));
    expect(Math.log2(vector.leaf_count) % 1).toBe(0);
  });

  it('in every operation, in order', () => {
    expect(vector.operations.length).toBeGreaterThanOrEqual(2);
    vector.operations.forEach((operation, i) => {
      checkOperation(vector, operation);
      const punctured = vector.operations.slice(0, i + 1).map(({ pprf_leaf }) => pprf_leaf);
      expect(operation.pprf_state_after).toBe(hex(own.pprfState(bytes(vector.epoch_base_secret), 32, punctured)));
    });
  });

  it('in the PPRF', () => {
    const { root, leaves, secrets, state_after } = vector.pprf;
    expect(leaves.length).toBeGreaterThanOrEqual(5);
    expect(leaves.some((leaf) => leaves.includes(leaf + 1))).toBe(true);
    expect(new Set(leaves).size).toBe(leaves.length);
    expect(secrets).toEqual(leaves.map((leaf) => hex(own.leafSecret(bytes(root), 32, leaf))));
    expect(state_after).toBe(hex(own.pprfState(bytes(root), 32, leaves)));
  });

  it('in the reuse guards', () => {
    expect(vector.reuse_guards.length).toBeGreaterThanOrEqual(2);
    for (const guard of vector.reuse_guards) {
      expect(Math.log2(guard.leaf_count) % 1).toBe(0);
      expect(guard.x % guard.leaf_count).toBe(guard.leaf_index);
      const prpKey = own.expandWithLabel(bytes(guard.leaf_node_secret), 'reuse guard', bytes(guard.key_schedule_nonce), 16);
      expect(guard.prp_key).toBe(hex(prpKey));
      expect(guard.reuse_guard).toBe(hex(u32(own.ff1Encrypt(prpKey, guard.x))));
    }
  });

  it('in the generation IDs', () => {
    expect(vector.generation_ids.length).toBeGreaterThanOrEqual(2);
    for (const { generation, ratchet_type, generation_id } of vector.generation_ids) {
      expect([1, 2]).toContain(ratchet_type);
      const context = Buffer.concat([u32(generation), u8(ratchet_type)]);
      expect(generation_id).toBe(hex(own.expandWithLabel(bytes(vector.generation_id_secret), 'generation id', context, 32)));
    }
  });

  it('in the actions', () => {
    const upload = vector.key_package_upload;
    expect(upload.epoch_id).toBe(vector.epoch_id);
    expect(upload.key_packages.length).toBeGreaterThanOrEqual(2);
    const infos = upload.key_packages.map((info) => Buffer.concat([v(bytes(info.key_package_ref)), v(bytes(info.random))]));
    const uploadAction = Buffer.concat([u8(1), v(bytes(upload.epoch_id)), v(...infos)]);
    expect(upload.virtual_client_action).toBe(hex(uploadAction));
    expect(upload.safe_aad).toBe(hex(v(u16(0x8a02), v(uploadAction))));
    const joinAction = Buffer.concat([u8(2), v(bytes(vector.external_join.group_id))]);
    expect(vector.external_join.virtual_client_action).toBe(hex(joinAction));
    expect(vector.external_join.safe_aad).toBe(hex(v(u16(0x8a02), v(joinAction))));
  });

  it('in the recovery signature', () => {
    const { recovery } = vector;
    expect(Number.isSafeInteger(recovery.epoch)).toBe(true);
    const seed = own.expandWithLabel(bytes(recovery.phrase_entropy), 'recovery sign', Buffer.alloc(0), 32);
    expect(recovery.public_key).toBe(hex(own.ed25519PublicKey(seed)));
    const prefix = Buffer.from('Chorus recovery', 'ascii');
    const content = Buffer.concat([prefix, v(bytes(recovery.group_id)), u64(BigInt(recovery.epoch)), v(bytes(recovery.signature_key))]);
    expect(recovery.signature).toBe(hex(own.ed25519Sign(seed, content)));
  });
});

function checkOperation(vector: Vector, operation: OperationVector): void {
  const input = own.hash(Buffer.concat([u32(operation.leaf_index), v(bytes(operation.random))]));
  expect(operation.pprf_input).toBe(hex(input));
  expect(operation.pprf_leaf).toBe(input.readUInt32BE(0));
  expect(operation.pprf_leaf % vector.leaf_count).toBe(operation.leaf_index);
  const secret = own.leafSecret(bytes(vector.epoch_base_secret), 32, operation.pprf_leaf);
  expect(operation.operation_secret).toBe(hex(secret));

  const child = (label: string): Buffer => deriveSecret(secret, label);
  expect(operation).toMatchObject({
    signature_key_secret: hex(child('Signature Key')),
    encryption_key_secret: hex(child('Encryption Key')),
    init_key_secret: hex(child('Init Key')),
    path_generation_secret: hex(child('Path Generation')),
    leaf_node_secret: hex(child('Leaf Node')),
    external_init_seed: hex(child('External Init')),
    group_creation_secret: hex(child('Group Creation')),
    encryption_public_key: hex(own.hpkePublicKey(child('Encryption Key'))),
    init_public_key: hex(own.hpkePublicKey(child('Init Key'))),
    external_init_public_key: hex(own.hpkePublicKey(child('External Init'))),
  });

  const path = [child('Path Generation')];
  for (let node = 1; node <= 3; node++) path.push(deriveSecret(path[node - 1]!, 'path'));
  expect(operation.path_public_keys).toEqual(
    path.slice(0, 3).map((pathSecret) => hex(own.hpkePublicKey(deriveSecret(pathSecret, 'node')))),
  );
  expect(operation.commit_secrets).toEqual([path[1], path[1], path[2], path[3]].map((commitSecret) => hex(commitSecret!)));

  const encryptionKey = bytes(operation.encryption_public_key);
  const key = own.expandWithLabel(bytes(vector.epoch_encryption_key), 'key', encryptionKey, 16);
  const nonce = own.expandWithLabel(bytes(vector.epoch_encryption_key), 'nonce', encryptionKey, 12);
  const tbe = Buffer.concat([u32(operation.leaf_index), v(bytes(operation.random))]);
  expect(operation.epoch_info_tbe).toBe(hex(tbe));
  expect(operation.derivation_key).toBe(hex(key));
  expect(operation.derivation_nonce).toBe(hex(nonce));
  const ciphertext = own.aes128GcmSeal(key, nonce, bytes(vector.epoch_id), tbe);
  expect(operation.derivation_info).toBe(hex(Buffer.concat([v(bytes(vector.epoch_id)), v(ciphertext)])));

  const target = (label: string): Buffer => own.expandWithLabel(own.extract(Buffer.alloc(0), child(label)), 'vc target', u16(3), 32);
  expect(operation.target_suite_3).toEqual({
    encryption_key_secret: hex(target('Encryption Key')),
    init_key_secret: hex(target('Init Key')),
    path_generation_secret: hex(target('Path Generation')),
    encryption_public_key: hex(own.hpkePublicKey(target('Encryption Key'))),
    init_public_key: hex(own.hpkePublicKey(target('Init Key'))),
  });
}
