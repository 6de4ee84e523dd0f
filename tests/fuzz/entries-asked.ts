import { createDeliveryClient } from '../../src/delivery/index.ts';
import type { Input } from '../../src/engine/input.ts';
import { openInvitation } from '../../src/engine/invitation-driver.ts';
import { decodeInvitationCode } from '../../src/engine/invitation-link.ts';
import type { DeliveryAnswer, DeliveryCall, DeliveryCalls } from '../../src/engine/ports.ts';
import { changesBetween } from '../../src/engine/records.ts';
import { recover, type RecoveryHands } from '../../src/engine/recovery-driver.ts';
import { createRuntime } from '../../src/engine/runtime.ts';
import { EMPTY_STATE, type EngineState } from '../../src/engine/state.ts';
import { step, type StepResult } from '../../src/engine/step.ts';
import { createMemoryStore } from '../../src/store/memory-store.ts';
import { random } from '../support/engine-snapshot.ts';
import { expectSound, mutatedResponse } from './entries-engine.ts';
import type { Case } from './play.ts';
import { changedFields } from './refused.ts';
import type { PlayedScene } from './scene.ts';
import { proofOf, type Came } from './stepped-device.ts';

/** What a person asks for in one go, with a server that answers some of its questions with anything. */

type Ask = <Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request']) => Promise<DeliveryAnswer<Call>>;

/** Each question is answered as it once was, but for one of the first `questions`, and now and then another. */
function answering({ came }: PlayedScene, one: Case, questions: number): Ask {
  const { dice } = one;
  const heard: object[] = [];
  one.input = heard;
  const wrong = dice.below(questions);
  return async (call, request) => {
    const genuine = dice.of(came.filter((other) => other.call === call));
    const { before, body, status, headers } = genuine;
    const isWrong = heard.length === wrong || dice.below(8) === 0;
    const answer = isWrong ? mutatedResponse(genuine, came, dice) : { body, init: { status, headers: { ...headers } } };
    heard.push({ call, ...answer });
    const fetch = () => Promise.resolve(new Response(new Uint8Array(answer.body), answer.init));
    const client = createDeliveryClient({ baseUrl: 'https://chorus.test', fetch, now: () => genuine.now });
    return client.send(call, request, proofOf(before), new AbortController().signal);
  };
}

/** A new device with the account's phrase. @throws Error when it does what it must not */
export async function recoveryOf(scene: PlayedScene, one: Case): Promise<string> {
  const ask = answering(scene, one, 3);
  let state: EngineState = EMPTY_STATE;
  const take = async (input: Input): Promise<StepResult> => {
    const result = await step(state, input, { random, now: scene.cast.now });
    expectSound(state, result);
    state = result.state;
    return result;
  };
  const hands: RecoveryHands = {
    random,
    state: () => Promise.resolve(state),
    step: async (command) => (await take({ type: 'command', command })).problem,
    ask,
    settle: async (make) => {
      const problem = await make();
      const request = state.recovering?.pending?.request;
      if (problem !== undefined || request === undefined) return problem;
      const answer = await ask('recover', request);
      if (answer.outcome === 'unreachable') return undefined; // it is sent again
      return (await take({ type: 'answer', call: 'recover', request, answer, conversationId: undefined })).outcome?.problem;
    },
  };
  const entropy = scene.cast.entropy.slice();
  const result = await recover(hands, { username: 'anna', deviceName: 'tablet', entropy });
  if (entropy.some((byte) => byte !== 0)) throw new Error('the phrase is still in memory');
  // The answers are those to another device: none of them vouches for the key that this one has made.
  if (state.account !== undefined) throw new Error('in the account without the word of its authentication service');
  if (result.ok) return 'to be sent again';
  const left = changedFields(EMPTY_STATE, state);
  if (left.length > 0) throw new Error(`what failed has left ${left.join()}`);
  return result.problem;
}

/** Who is not in the conversation looks at its link. @throws Error when it shows what the link does not say */
export async function invitationOf(scene: PlayedScene, one: Case): Promise<string> {
  const { before } = asking(scene, 'open-invitation');
  const { invitationCode } = scene.cast;
  const opened = await openInvitation({ state: () => Promise.resolve(before), ask: answering(scene, one, 2) }, invitationCode);
  if (!opened.ok) return opened.problem;
  const { title } = decodeInvitationCode(invitationCode)!;
  const { invitation } = opened;
  const isThat = invitation.conversationId === scene.cast.conversationId && invitation.title === title && !invitation.joined;
  if (!isThat) throw new Error('shows another conversation');
  return 'opened';
}

/** Somebody looks for accounts by their names. @throws Error when this stores anything, or gives what is no account */
export async function accountsOf(scene: PlayedScene, one: Case): Promise<string> {
  const { before, now } = asking(scene, 'find-account');
  const store = createMemoryStore();
  await store.write({ puts: changesBetween(EMPTY_STATE, before, []).puts, deletes: [] });
  const nothing = (): void => undefined;
  const runtime = createRuntime({
    store: { ...store, write: () => Promise.reject(new Error('something was stored')) },
    delivery: { send: answering(scene, one, 2) },
    prepareEventStream: () => Promise.reject(new Error('nobody listens')),
    readEntry: nothing as () => undefined,
    readStock: nothing as () => undefined,
    random,
    now: () => now,
    exclusive: (task) => task(),
    changed: nothing,
    notify: nothing,
    withdraw: nothing,
    deleted: nothing,
    cleared: nothing,
    requestSync: nothing,
    sleep: () => new Promise(nothing),
  });
  const found = await runtime.findAccounts(['ben', 'cara']);
  if (typeof found === 'string') return found;
  const isAccount = (account: (typeof found)[number]): boolean => account.accountId.length === 16 && account.username.length > 0;
  if (found.length !== 2 || !found.every(isAccount)) throw new Error('found what is no account');
  return 'found';
}

/** Who has once asked. */
function asking({ came }: PlayedScene, call: DeliveryCall): Came {
  return came.find((one) => one.call === call)!;
}
