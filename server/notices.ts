import { toHex } from '../src/bytes/index.ts';
import type { AccountId, LinkId } from '../src/engine/ports.ts';

export const accountTopic = (accountId: AccountId): string => `account ${toHex(accountId)}`;
export const linkTopic = (linkId: LinkId): string => `link ${toHex(linkId)}`;

/** Wakes what waits in this process for a change in the store. It carries no data: who is woken reads the store. */
export class Notices {
  readonly #listeners = new Map<string, Set<() => void>>();

  /** @returns what ends the subscription */
  subscribe(topic: string, listener: () => void): () => void {
    const listeners = this.#listeners.get(topic) ?? new Set();
    this.#listeners.set(topic, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(topic) === listeners) this.#listeners.delete(topic);
    };
  }

  publish(topic: string): void {
    for (const listener of this.#listeners.get(topic) ?? []) listener();
  }

  listeners(topic: string): number {
    return this.#listeners.get(topic)?.size ?? 0;
  }
}
