import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  sign,
  type KeyObject,
} from 'node:crypto';

/**
 * The protocol once more, from the texts and on Node's own crypto alone, for checking the vectors: it
 * shares no line with src. Suite 1.
 */
const NH = 32;

export const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex');
const ascii = (text: string): Buffer => Buffer.from(text, 'ascii');
export const u8 = (value: number): Buffer => Buffer.from([value]);
export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
export const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value);
  return out;
};
export const u64 = (value: bigint): Buffer => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(value);
  return out;
};
/** RFC 9420 section 2.1.2 */
export function v(...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 64) return Buffer.concat([u8(body.length), body]);
  if (body.length < 16384) return Buffer.concat([u16(0x4000 + body.length), body]);
  return Buffer.concat([u32(0x80000000 + body.length), body]);
}

export const hash = (data: Buffer): Buffer => createHash('sha256').update(data).digest();
export const extract = (salt: Buffer, ikm: Buffer): Buffer =>
  createHmac('sha256', salt.length === 0 ? Buffer.alloc(32) : salt)
    .update(ikm)
    .digest();

function expand(prk: Buffer, info: Buffer, length: number): Buffer {
  const block = createHmac('sha256', prk)
    .update(Buffer.concat([info, u8(1)]))
    .digest();
  if (length > block.length) throw new RangeError('one block is enough here');
  return block.subarray(0, length);
}

export function expandWithLabel(secret: Buffer, label: string, context: Buffer, length: number): Buffer {
  return expand(secret, Buffer.concat([u16(length), v(ascii(`MLS 1.0 ${label}`)), v(context)]), length);
}

export const deriveSecret = (secret: Buffer, label: string): Buffer => expandWithLabel(secret, label, Buffer.alloc(0), NH);

/** RFC 9180 section 4: LabeledExtract and LabeledExpand. */
const KEM = Buffer.concat([ascii('KEM'), u16(0x0020)]);
const HPKE = Buffer.concat([ascii('HPKE'), u16(0x0020), u16(0x0001), u16(0x0001)]);
const NONE = Buffer.alloc(0);
function labeledExtract(suite: Buffer, salt: Buffer, label: string, ikm: Buffer): Buffer {
  return extract(salt, Buffer.concat([ascii('HPKE-v1'), suite, ascii(label), ikm]));
}
function labeledExpand(suite: Buffer, prk: Buffer, label: string, info: Buffer, length: number): Buffer {
  return expand(prk, Buffer.concat([u16(length), ascii('HPKE-v1'), suite, ascii(label), info]), length);
}

/** RFC 9180 DeriveKeyPair of DHKEM(X25519, HKDF-SHA256). */
export function hpkePrivateKey(ikm: Buffer): Buffer {
  return labeledExpand(KEM, labeledExtract(KEM, NONE, 'dkp_prk', ikm), 'sk', NONE, 32);
}

export const hpkePublicKey = (ikm: Buffer): Buffer => x25519PublicKey(hpkePrivateKey(ikm));
export const x25519PublicKey = (privateKey: Buffer): Buffer => publicKey(key('6e', privateKey));

/** The context of base mode on the receiver's side: `export`, and `open` for the first message. */
export function hpkeReceiver(privateKey: Buffer, kemOutput: Buffer, info: Buffer) {
  const sender = createPublicKey({ key: Buffer.concat([bytes('302a300506032b656e032100'), kemOutput]), format: 'der', type: 'spki' });
  const shared = diffieHellman({ privateKey: key('6e', privateKey), publicKey: sender });
  const kemContext = Buffer.concat([kemOutput, x25519PublicKey(privateKey)]);
  const secret = labeledExpand(KEM, labeledExtract(KEM, NONE, 'eae_prk', shared), 'shared_secret', kemContext, 32);
  const hashes = [labeledExtract(HPKE, NONE, 'psk_id_hash', NONE), labeledExtract(HPKE, NONE, 'info_hash', info)];
  const context = Buffer.concat([u8(0), ...hashes]);
  const prk = labeledExtract(HPKE, secret, 'secret', NONE);
  const derive = (label: string, length: number): Buffer => labeledExpand(HPKE, prk, label, context, length);
  return {
    export: (exporterContext: Buffer, length: number) => labeledExpand(HPKE, derive('exp', 32), 'sec', exporterContext, length),
    open: (ciphertext: Buffer) => {
      const decipher = createDecipheriv('aes-128-gcm', derive('key', 16), derive('base_nonce', 12));
      decipher.setAuthTag(ciphertext.subarray(-16));
      return Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]);
    },
  };
}

/** RFC 9420 section 5.1.3 */
export function decryptWithLabel(privateKey: Buffer, label: string, context: Buffer, kemOutput: Buffer, ciphertext: Buffer): Buffer {
  return hpkeReceiver(privateKey, kemOutput, Buffer.concat([v(ascii(`MLS 1.0 ${label}`)), v(context)])).open(ciphertext);
}

export const mac = (macKey: Buffer, data: Buffer): Buffer => createHmac('sha256', macKey).update(data).digest();

/** RFC 9420 section 5.1.2, for a label that is itself a struct. */
export function signWithLabel(seed: Buffer, label: Buffer, content: Buffer): Buffer {
  return ed25519Sign(seed, Buffer.concat([v(Buffer.concat([ascii('MLS 1.0 '), label])), v(content)]));
}

/** RFC 8410: 1.3.101.110 is X25519, 1.3.101.112 Ed25519. */
function key(lastArc: '6e' | '70', seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([bytes(`302e020100300506032b65${lastArc}04220420`), seed]), format: 'der', type: 'pkcs8' });
}

function publicKey(privateKey: KeyObject): Buffer {
  return createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
}

export const ed25519PublicKey = (seed: Buffer): Buffer => publicKey(key('70', seed));
export const ed25519Sign = (seed: Buffer, content: Buffer): Buffer => sign(null, content, key('70', seed));

export function aes128GcmSeal(sealKey: Buffer, nonce: Buffer, aad: Buffer, plaintext: Buffer): Buffer {
  const cipher = createCipheriv('aes-128-gcm', sealKey, nonce).setAAD(aad);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** NIST SP 800-38G, algorithm 7, for radix 2, n = 32, no tweak; x and the result as 32-bit integers, most significant numeral first. */
export function ff1Encrypt(prpKey: Buffer, x: number): number {
  const p = Buffer.concat([bytes('0102010000020a10'), u32(32), u32(0)]);
  let a = x >>> 16;
  let b = x & 0xffff;
  for (let round = 0; round < 10; round++) {
    const q = Buffer.concat([Buffer.alloc(13), u8(round), u16(b)]);
    const mac = createCipheriv('aes-128-cbc', prpKey, Buffer.alloc(16))
      .update(Buffer.concat([p, q]))
      .subarray(16);
    const c = Number((BigInt(a) + mac.readBigUInt64BE(0)) & 0xffffn);
    a = b;
    b = c;
  }
  return a * 65536 + b;
}

const child = (node: Buffer, side: 'left' | 'right'): Buffer => expandWithLabel(node, 'tree', ascii(side), NH);

/** Secret of one leaf, from the root down. */
export function leafSecret(root: Buffer, depth: number, leaf: number): Buffer {
  let node = root;
  for (const bit of leaf.toString(2).padStart(depth, '0')) node = child(node, bit === '0' ? 'left' : 'right');
  return node;
}

/** PprfState after `punctured`: the roots of the largest subtrees without a punctured leaf, left to right. */
export function pprfState(root: Buffer, depth: number, punctured: readonly number[]): Buffer {
  const hit = punctured.map((leaf) => leaf.toString(2).padStart(depth, '0'));
  const nodes: Buffer[] = [];
  const visit = (node: Buffer, prefix: string): void => {
    if (!hit.some((leaf) => leaf.startsWith(prefix))) {
      const padded = prefix.padEnd(Math.ceil(prefix.length / 8) * 8, '0');
      const packed = Buffer.from((padded.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
      nodes.push(Buffer.concat([u8(prefix.length), v(packed), v(node)]));
    } else if (prefix.length < depth) {
      visit(child(node, 'left'), `${prefix}0`);
      visit(child(node, 'right'), `${prefix}1`);
    }
  };
  visit(root, '');
  return v(...nodes);
}
