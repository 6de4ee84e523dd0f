import { afterEach, beforeEach, describe } from 'vitest';
import { eventualContract } from './delivery-store-contract-eventual.ts';
import { furtherContract } from './delivery-store-contract-further.ts';
import { invitationContract } from './delivery-store-contract-invitations.ts';
import { logContract } from './delivery-store-contract-logs.ts';
import { mailboxContract } from './delivery-store-contract-mailboxes.ts';
import { recoveryContract } from './delivery-store-contract-recoveries.ts';
import { removalContract } from './delivery-store-contract-removals.ts';
import { type StoreAdapter, StoreWorld } from './delivery-store-world.ts';

/** What every adapter of DeliveryStore must do. */
export function deliveryStoreContract(adapter: StoreAdapter): void {
  describe(`delivery store on ${adapter.name}`, () => {
    const world = new StoreWorld(adapter);
    beforeEach(() => world.open());
    afterEach(() => world.close());

    logContract(world);
    furtherContract(world);
    mailboxContract(world);
    removalContract(world);
    recoveryContract(world);
    invitationContract(world);
  });

  describe(`delivery store on ${adapter.name}, eventually consistent`, () => {
    const world = new StoreWorld(adapter, 'eventual');
    beforeEach(() => world.open());
    afterEach(() => world.close());

    eventualContract(world);
  });
}
