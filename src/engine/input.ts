import type { Command } from './command.ts';
import type { DeliveryAnswer, DeliveryCall, DeliveryCalls, SequenceEntry } from './ports.ts';

/** What the engine is asked to step over. */
export type Input =
  | { readonly type: 'command'; readonly command: Command }
  /** A slice of the account's sequence, in order; `last` is the newest number that the server names. */
  | { readonly type: 'entries'; readonly entries: readonly SequenceEntry[]; readonly last: number }
  | { readonly type: 'prepare'; readonly what: Preparation }
  | AnswerInput
  /** KeyPackages that the server can still hand out. */
  | { readonly type: 'stock'; readonly stock: number }
  /** The server does not have the entry `after` that this device has followed (see set-back.ts). */
  | { readonly type: 'log-changed'; readonly after: number }
  /** The server says that it does not know this device any more. */
  | { readonly type: 'unlinked' };

/** Work that the state calls for and that makes bytes, or changes what is planned. */
export type Preparation =
  | { readonly kind: 'key-packages' }
  | { readonly kind: 'add-device' }
  | { readonly kind: 'device-profile' }
  | { readonly kind: 'remove-devices' }
  | { readonly kind: 'account-key' }
  | { readonly kind: 'renew-keys' }
  | { readonly kind: 'recovery-key' }
  | { readonly kind: 'rejoined' }
  | { readonly kind: 'claim'; readonly conversationId: string }
  | { readonly kind: 'message'; readonly conversationId: string }
  | { readonly kind: 'renewal'; readonly conversationId: string }
  | { readonly kind: 'plan-join'; readonly conversationId: string }
  /** Tells the siblings of a link: one of ours, or one that the account joins by. */
  | { readonly kind: 'tell-invitation'; readonly conversationId: string }
  /** Tells the siblings of messages that the person has deleted. */
  | { readonly kind: 'tell-forgotten'; readonly conversationId: string }
  | { readonly kind: 'announce-join'; readonly conversationId: string }
  | { readonly kind: 'link-expiry' }
  | { readonly kind: 'uploads-used' }
  /** None of these before the sequence has been followed to its end. */
  | { readonly kind: 'forget-past' }
  | { readonly kind: 'end-rewind' }
  /** Of what was `accepted` when the end was asked for (see accepted.ts). */
  | { readonly kind: 'take-lost-back'; readonly accepted: readonly string[] };

/** Requests whose answers change the state. */
export type EngineCall = Exclude<DeliveryCall, 'find-account' | 'fetch-sequence' | 'open-recovery'>;

/** One request with its answer. */
export type AnswerInput = {
  [Call in EngineCall]: {
    readonly type: 'answer';
    readonly call: Call;
    readonly request: DeliveryCalls[Call]['request'];
    readonly answer: DeliveryAnswer<Call>;
    /** Of submissions, claims and GroupInfos: whose. Undefined for the emulation group's. */
    readonly conversationId: string | undefined;
  };
}[EngineCall];
