import { Secret } from '../bytes/index.ts';
import { deriveRecoveryKey } from '../virtual-client/index.ts';
import type { Command, CommandProblem, CommandResult } from './command.ts';
import type { DeliveryAnswer, DeliveryCalls } from './ports.ts';
import { EMULATION_PROTOCOL } from './protocol.ts';
import { recoveryClaim, recoveryProblem } from './recovery.ts';
import { phraseIdOf } from './recovery-phrase.ts';
import type { EngineState } from './state.ts';

/**
 * The two commands with a recovery phrase in them. Its entropy, and R's seed that comes from it, live in this
 * call's memory alone and are wiped when it ends; steps and the store see R's public key and signatures.
 */

/** What the runtime does for them. */
export interface RecoveryHands {
  readonly random: (length: number) => Uint8Array;
  state(): Promise<EngineState>;
  step(command: Command): Promise<CommandProblem | undefined>;
  ask<Call extends 'describe-server' | 'open-recovery'>(call: Call, request: DeliveryCalls[Call]['request']): Promise<DeliveryAnswer<Call>>;
  /** Starts what there is to do, and waits for what becomes of the recovery. */
  settle(step: () => Promise<CommandProblem | undefined>): Promise<CommandProblem | undefined>;
}

/** As often as other devices of the account may get in between with commits before the person is asked again. */
const MAX_TRIES = 5;
const ENTROPY_LENGTH = 32;

export type MadePhrase =
  { readonly ok: true; readonly entropy: Uint8Array; readonly phraseId: string } | { readonly ok: false; readonly problem: CommandProblem };

/** A new phrase's entropy, for the tab to show; it changes nothing before it is confirmed. */
export async function makePhrase({ random, step }: RecoveryHands): Promise<MadePhrase> {
  const entropy = random(ENTROPY_LENGTH);
  const kept = Secret.of('phrase_entropy', entropy.slice());
  const { publicKey, seed } = deriveRecoveryKey(EMULATION_PROTOCOL, kept);
  kept.wipe();
  seed.wipe();
  const problem = await step({ command: 'offerPhrase', recoveryKey: publicKey });
  return problem === undefined ? { ok: true, entropy, phraseId: phraseIdOf(publicKey) } : { ok: false, problem };
}

/** Takes `entropy` over and wipes it. */
export async function recover(
  hands: RecoveryHands,
  { username, deviceName, entropy }: { readonly username: string; readonly deviceName: string; readonly entropy: Uint8Array },
): Promise<CommandResult> {
  const phraseEntropy = Secret.of('phrase_entropy', entropy);
  try {
    if (entropy.length !== ENTROPY_LENGTH) return { ok: false, problem: 'recovery-refused' };
    const key = deriveRecoveryKey(EMULATION_PROTOCOL, phraseEntropy);
    try {
      const problem = (await hands.step({ command: 'beginRecovery', username, deviceName })) ?? (await tryToJoin(hands, username, key));
      if (problem === undefined) return { ok: true };
      await hands.step({ command: 'forgetRecovery' });
      return { ok: false, problem };
    } finally {
      key.seed.wipe();
    }
  } finally {
    phraseEntropy.wipe();
  }
}

async function tryToJoin(
  hands: RecoveryHands,
  username: string,
  key: ReturnType<typeof deriveRecoveryKey>,
): Promise<CommandProblem | undefined> {
  const server = await hands.ask('describe-server', {});
  if (server.outcome !== 'done') return 'offline';
  const { authenticationKey } = server.value;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const { device } = await hands.state();
    if (device === undefined) return 'not-ready';
    const claim = recoveryClaim(device, username, key);
    const answer = await hands.ask('open-recovery', claim);
    if (answer.outcome === 'unreachable') return 'offline';
    if (answer.outcome === 'refused') return recoveryProblem(answer.problem);
    const opened = answer.value;
    const problem = await hands.settle(() =>
      hands.step({ command: 'joinByRecovery', material: { opened, claim, key, authenticationKey } }),
    );
    if (problem !== 'recovery-moved') return problem;
  }
  return 'recovery-moved';
}
