import { decode, encode } from '../../wire/index.ts';
import type { Revision } from '../revision.ts';

const PRP_KEY_LENGTH = 16; // AES-128
const PRP_NUMERALS = 32; // a reuse guard has 4 bytes, the radix is 2

/** A sealed EpochInfoTBE takes 53 bytes with a 32-byte hash; a 64-byte hash would make it 86. */
const MAX_CIPHERTEXT = 255;

/** draft-ietf-mls-virtual-clients-00 as our reading of it rules. */
export const draft00: Revision = {
  name: 'draft-ietf-mls-virtual-clients-00',

  // Reading section 1: the draft's own values are XXX and TBD; ours are from the private-use range.
  components: {
    appComponents: 0x0001,
    safeAad: 0x0002,
    emulatorEpochSecret: 0x8a00,
    derivationInfo: 0x8a01,
    virtualClientAction: 0x8a02,
    newEmulatorClientState: 0x8a03,
    recovery: 0x8a04,
    accountBinding: 0x8a05,
  },

  // Draft section 5.2
  epochLabels: {
    epochId: 'Epoch ID',
    epochBaseSecret: 'Base Secret',
    epochEncryptionKey: 'Encryption Key',
    generationIdSecret: 'Generation ID Secret',
  },

  // Draft section 5.2; the last three are reading section 4.
  operationLabels: {
    signatureKeySecret: 'Signature Key',
    encryptionKeySecret: 'Encryption Key',
    initKeySecret: 'Init Key',
    pathGenerationSecret: 'Path Generation',
    leafNodeSecret: 'Leaf Node',
    externalInitSeed: 'External Init',
    groupCreationSecret: 'Group Creation',
  },

  targetSuiteLabel: 'vc target', // reading section 4
  generationIdLabel: 'generation id', // draft section 5.9

  // struct { uint32 leaf_index; opaque random<V>; } HashInput;  pprf_input = Hash(HashInput)
  pprfInput: (suite, emulatorLeaf, random) => suite.hash(encode((w) => w.uint32(emulatorLeaf).opaque(random))),

  // LeafNode(Input) = first 4 bytes of pprf_input, big-endian
  pprfLeaf: (input) => new DataView(input.buffer, input.byteOffset, 4).getUint32(0),

  // prp_key = ExpandWithLabel(leaf_node_secret, "reuse guard", key_schedule_nonce, 16)
  prpKey: (suite, leafNodeSecret, keyScheduleNonce) =>
    suite.expandWithLabel(leafNodeSecret.reveal(), 'reuse guard', keyScheduleNonce, PRP_KEY_LENGTH),

  // Reading section 8: from most to least significant bit.
  prpNumerals: (value) => Array.from({ length: PRP_NUMERALS }, (_, i) => (value >>> (PRP_NUMERALS - 1 - i)) & 1),
  prpValue: (numerals) => numerals.reduce((value, bit) => ((value << 1) | bit) >>> 0, 0),

  // key   = ExpandWithLabel(epoch_encryption_key, "key",   encryption_key, Nk)
  // nonce = ExpandWithLabel(epoch_encryption_key, "nonce", encryption_key, Nn)
  derivationInfoKey: (suite, epochEncryptionKey, encryptionKey) => ({
    key: suite.expandWithLabel(epochEncryptionKey.reveal(), 'key', encryptionKey, suite.nk),
    nonce: suite.expandWithLabel(epochEncryptionKey.reveal(), 'nonce', encryptionKey, suite.nn),
  }),

  // struct { opaque epoch_id<V>; opaque ciphertext<V>; } DerivationInfoComponent;
  encodeDerivationInfo: (info) => encode((w) => w.opaque(info.epochId).opaque(info.ciphertext)),
  decodeDerivationInfo: (suite, bytes) =>
    decode(bytes, 'DerivationInfoComponent', (r) => ({
      epochId: r.opaqueOf(suite.nh, 'epoch_id'),
      ciphertext: r.opaque('ciphertext', MAX_CIPHERTEXT),
    })),

  // struct { uint32 leaf_index; opaque random<V>; } EpochInfoTBE;
  encodeEpochInfo: (info) => encode((w) => w.uint32(info.emulatorLeaf).opaque(info.random)),
  decodeEpochInfo: (suite, bytes) =>
    decode(bytes, 'EpochInfoTBE', (r) => ({ emulatorLeaf: r.uint32('leaf_index'), random: r.opaqueOf(suite.nh, 'random') })),
};
