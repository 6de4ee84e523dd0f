import { Secret, utf8, type Spending } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { Writer } from '../wire/index.ts';
import { MlsError } from './errors.ts';
import { isInSubtree, leafToNode, left, right, root } from './tree-math.ts';

/**
 * The secret tree of one epoch (RFC 9420 section 9). Immutable and lazy: a node is opened when a leaf
 * below it is first needed; it is then deleted and its two children, or the leaf's ratchets, take its
 * place. What did not change is shared between states, so references tell what must be stored again.
 */
export interface SecretTree {
  readonly leafCount: number;
  /** Secrets of the subtrees that were not opened yet, by node index. */
  readonly nodes: ReadonlyMap<number, Secret<'tree_node_secret'>>;
  /** Ratchets of the leaves that were used, by leaf index. */
  readonly ratchets: ReadonlyMap<number, LeafRatchets>;
}

export type RatchetType = 'application' | 'handshake';

export type LeafRatchets = Readonly<Record<RatchetType, Ratchet>>;

export interface Ratchet {
  /** The generation that `secret` gives; all earlier ones were derived. */
  readonly generation: number;
  readonly secret: Secret<'ratchet_secret'>;
  /** Keys of derived generations that no message was opened with yet, in ascending order. */
  readonly skipped: ReadonlyMap<number, MessageKey>;
}

/** AEAD key and nonce of one generation; the nonce is the one before the reuse guard is applied. */
export interface MessageKey {
  readonly key: Secret<'message_key'>;
  readonly nonce: Secret<'message_nonce'>;
}

/**
 * How far ahead of its ratchet a receiver follows a sender: more than all the account's devices send
 * in one epoch while one of them sees nothing of it. A forged jump costs at most this many KDF calls
 * and two for each key kept, some 20 ms.
 */
export const MAX_FORWARD_GENERATIONS = 1000;

/**
 * Skipped keys kept per ratchet, own unconfirmed sends included. The delivery service keeps the order,
 * so gaps come from lost messages only; 256 keys of 28 bytes still make a record of some 8 kB at worst.
 */
export const MAX_SKIPPED_KEYS = 256;

/** uint32, and the generation after the last one must still be a uint32. */
const LAST_GENERATION = 2 ** 32 - 2;

const NOTHING = new Uint8Array(0);
const LEFT = utf8('left');
const RIGHT = utf8('right');

/** The tree of a new epoch. Takes over `encryptionSecret`, which is wiped. `leafCount` is a power of two. */
export function createSecretTree(encryptionSecret: Secret<'encryption_secret'>, leafCount: number): SecretTree {
  const secret = Secret.of('tree_node_secret', encryptionSecret.reveal().slice());
  encryptionSecret.wipe();
  return { leafCount, nodes: new Map([[root(leafCount), secret]]), ratchets: new Map() };
}

/**
 * Key of a generation, for opening one message: each generation gives its key once. Generations in
 * between keep their keys, and nothing from which they or others could be derived again.
 * Drop `next` when the message turns out not to be genuine. Else persist it, then wipe `spent`.
 * @throws MlsError 'unknown-sender', 'message-key-gone', 'generation-too-far', 'generations-exhausted'
 */
export function messageKey(
  suite: CipherSuite,
  tree: SecretTree,
  leafIndex: number,
  type: RatchetType,
  generation: number,
): Spending<SecretTree, MessageKey> {
  const opened = openLeaf(suite, tree, leafIndex);
  const ratchet = opened.value[type];
  if (generation < ratchet.generation) {
    const kept = ratchet.skipped.get(generation);
    if (kept === undefined) throw new MlsError('message-key-gone');
    const skipped = new Map(ratchet.skipped);
    skipped.delete(generation);
    const value = {
      key: Secret.of('message_key', kept.key.reveal().slice()),
      nonce: Secret.of('message_nonce', kept.nonce.reveal().slice()),
    };
    return {
      next: withRatchet(opened.next, leafIndex, type, { ...ratchet, skipped }),
      value,
      spent: [...opened.spent, kept.key, kept.nonce],
    };
  }
  const advanced = advance(suite, ratchet, generation);
  return {
    next: withRatchet(opened.next, leafIndex, type, advanced.next),
    value: advanced.value,
    spent: [...opened.spent, ...advanced.spent],
  };
}

/** A generation given out for sending. */
export interface Allocation extends MessageKey {
  readonly generation: number;
}

/**
 * The next generation, for sending one message. Its key stays in `next` as a skipped one, so that the
 * message that wins this generation can still be opened once: our own, or a sibling's whose send the
 * server accepted first (reading section 9). Reading it deletes the key.
 * Persist `next` before the message leaves the device: no generation may be allocated twice. Then wipe `spent`.
 * @throws MlsError 'unknown-sender', 'generations-exhausted'
 */
export function allocate(suite: CipherSuite, tree: SecretTree, leafIndex: number, type: RatchetType): Spending<SecretTree, Allocation> {
  const opened = openLeaf(suite, tree, leafIndex);
  const { generation } = opened.value[type];
  const { next, value, spent } = advance(suite, opened.value[type], generation);
  const retained = {
    key: Secret.of('message_key', value.key.reveal().slice()),
    nonce: Secret.of('message_nonce', value.nonce.reveal().slice()),
  };
  const bounded = keep(next.skipped, [[generation, retained]]);
  return {
    next: withRatchet(opened.next, leafIndex, type, { ...next, skipped: bounded.skipped }),
    value: { generation, ...value },
    spent: [...opened.spent, ...spent, ...bounded.dropped],
  };
}

/** The ratchets of a leaf, opened if they were not. */
function openLeaf(suite: CipherSuite, tree: SecretTree, leafIndex: number): Spending<SecretTree, LeafRatchets> {
  const existing = tree.ratchets.get(leafIndex);
  if (existing !== undefined) return { next: tree, value: existing, spent: [] };
  const target = leafToNode(leafIndex);
  const start = leafIndex < tree.leafCount ? [...tree.nodes].find(([node]) => isInSubtree(target, node)) : undefined;
  if (start === undefined) throw new MlsError('unknown-sender');

  const [top, topSecret] = start;
  const nodes = new Map(tree.nodes);
  nodes.delete(top);
  let own: Uint8Array = topSecret.reveal().slice();
  // tree_node_[left(N)]_secret = ExpandWithLabel(tree_node_[N]_secret, "tree", "left", KDF.Nh), right alike
  for (let node = top; node !== target;) {
    const leftSecret = suite.expandWithLabel(own, 'tree', LEFT, suite.nh);
    const rightSecret = suite.expandWithLabel(own, 'tree', RIGHT, suite.nh);
    own.fill(0);
    const goesLeft = target < node;
    nodes.set(goesLeft ? right(node) : left(node), Secret.of('tree_node_secret', goesLeft ? rightSecret : leftSecret));
    own = goesLeft ? leftSecret : rightSecret;
    node = goesLeft ? left(node) : right(node);
  }
  // application_ratchet_secret_[N]_[0] = ExpandWithLabel(tree_node_[N]_secret, "application", "", KDF.Nh), handshake alike
  const first = (type: RatchetType): Ratchet => ({
    generation: 0,
    secret: Secret.of('ratchet_secret', suite.expandWithLabel(own, type, NOTHING, suite.nh)),
    skipped: new Map(),
  });
  const value: LeafRatchets = { application: first('application'), handshake: first('handshake') };
  own.fill(0);
  const ratchets = new Map(tree.ratchets).set(leafIndex, value);
  return { next: { leafCount: tree.leafCount, nodes, ratchets }, value, spent: [topSecret] };
}

/** Ratchets until `generation` is derived; the generations before it that can be kept join the skipped ones. */
function advance(suite: CipherSuite, ratchet: Ratchet, generation: number): Spending<Ratchet, MessageKey> {
  if (generation - ratchet.generation > MAX_FORWARD_GENERATIONS) throw new MlsError('generation-too-far');
  if (generation > LAST_GENERATION) throw new MlsError('generations-exhausted');
  const passed: [number, MessageKey][] = [];
  let secret = ratchet.secret.reveal();
  const step = (current: number): void => {
    // ratchet_secret_[N]_[j+1] = DeriveTreeSecret(ratchet_secret_[N]_[j], "secret", j, KDF.Nh)
    const following = deriveTreeSecret(suite, secret, 'secret', current, suite.nh);
    if (current > ratchet.generation) secret.fill(0); // the first belongs to the old state until that is replaced
    secret = following;
  };
  for (let current = ratchet.generation; current < generation; current++) {
    if (generation - current <= MAX_SKIPPED_KEYS) passed.push([current, deriveMessageKey(suite, secret, current)]);
    step(current);
  }
  const value = deriveMessageKey(suite, secret, generation);
  step(generation);
  const { skipped, dropped } = keep(ratchet.skipped, passed);
  return {
    next: { generation: generation + 1, secret: Secret.of('ratchet_secret', secret), skipped },
    value,
    spent: [ratchet.secret, ...dropped],
  };
}

/** Newest keys stay, the oldest ones over the bound go. */
function keep(
  skipped: Ratchet['skipped'],
  added: readonly (readonly [number, MessageKey])[],
): { skipped: Ratchet['skipped']; dropped: Secret<string>[] } {
  const all = [...skipped, ...added];
  const over = Math.max(0, all.length - MAX_SKIPPED_KEYS);
  return { skipped: new Map(all.slice(over)), dropped: all.slice(0, over).flatMap(([, { key, nonce }]) => [key, nonce]) };
}

// ratchet_key_[N]_[j]   = DeriveTreeSecret(ratchet_secret_[N]_[j], "key",   j, AEAD.Nk)
// ratchet_nonce_[N]_[j] = DeriveTreeSecret(ratchet_secret_[N]_[j], "nonce", j, AEAD.Nn)
function deriveMessageKey(suite: CipherSuite, secret: Uint8Array, generation: number): MessageKey {
  return {
    key: Secret.of('message_key', deriveTreeSecret(suite, secret, 'key', generation, suite.nk)),
    nonce: Secret.of('message_nonce', deriveTreeSecret(suite, secret, 'nonce', generation, suite.nn)),
  };
}

/** RFC 9420 section 9: `DeriveTreeSecret(Secret, Label, Generation, Length) = ExpandWithLabel(Secret, Label, Generation, Length)` */
export function deriveTreeSecret(suite: CipherSuite, secret: Uint8Array, label: string, generation: number, length: number): Uint8Array {
  return suite.expandWithLabel(secret, label, new Writer().uint32(generation).finish(), length);
}

function withRatchet(tree: SecretTree, leafIndex: number, type: RatchetType, ratchet: Ratchet): SecretTree {
  const leaf = tree.ratchets.get(leafIndex);
  if (leaf === undefined) throw new MlsError('unknown-sender');
  const replaced: LeafRatchets = type === 'application' ? { ...leaf, application: ratchet } : { ...leaf, handshake: ratchet };
  return { ...tree, ratchets: new Map(tree.ratchets).set(leafIndex, replaced) };
}
