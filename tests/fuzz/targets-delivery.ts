import { utf8 } from '../../src/bytes/index.ts';
import { readHeader } from '../../server/submission.ts';
import { readCount, readFrame, readText } from '../../server/service.ts';
import { Refusal } from '../../server/problems.ts';
import { readCall } from '../../src/bridge/calls.ts';
import { authorize, parseAuthorization } from '../../src/delivery/device-proof.ts';
import { EventParser, EventStreamError } from '../../src/delivery/event-stream.ts';
import {
  answerFrames,
  bindKeyFrame,
  claimFrame,
  createAccountFrame,
  describeFrame,
  fromJson,
  groupId as groupIdFrame,
  openInvitationFrame,
  openRecoveryFrame,
  PROBLEM_URN,
  problemFrame,
  putLinkFrame,
  recoverFrame,
  removalFrame,
  sequenceEntryFrame,
  stockFrame,
  submissionFrame,
  toJson,
  uploadFrame,
} from '../../src/delivery/frames.ts';
import { DecodeError } from '../../src/wire/index.ts';
import { random } from '../support/engine-snapshot.ts';
import { commit } from '../support/submissions.ts';
import { validCalls } from './entries-tabs.ts';
import type { Samples } from './samples.ts';
import { target, type Target } from './target.ts';
import { textOf } from './targets-engine.ts';

const never = (): boolean => false;
const refusal = (error: unknown): boolean => error instanceof Refusal;
type Schema = Parameters<typeof fromJson>[0];

/** What goes over the network in JSON, in headers and in the event stream, and what tabs post to the worker. */
export async function deliveryTargets(samples: Samples): Promise<Target[]> {
  const device = { deviceId: random(16), deviceKeySeed: random(32) };
  const request = { method: 'POST', target: '/v1/groups', body: utf8('{}') };
  const header = await authorize(request, device, 1_800_000_000_000);
  const { groupId: _path, ...submission } = commit(random(32), 3, { adds: [random(16)] });
  const claim = { username: 'anna', deviceId: random(16), deviceKey: random(32), proof: random(64) };
  const binding = { keyVersion: 1, signatureKey: random(32) };
  const requests: readonly (readonly [string, Schema, object])[] = [
    [
      'create-account',
      createAccountFrame,
      { ...claim, signatureKey: random(32), emulationGroupId: random(16), emulationGroupInfo: random(60) },
    ],
    ['submit', submissionFrame, submission],
    ['open-invitation', openInvitationFrame, { proof: random(64) }],
    ['upload-key-packages', uploadFrame, { keyPackages: [{ keyPackageRef: random(32), keyPackage: samples.keyPackages[0] }] }],
    ['claim-key-packages', claimFrame, { claimId: random(16), accountIds: [random(16), random(16)] }],
    ['describe-accounts', describeFrame, { accountIds: [random(16)] }],
    ['begin-removal', removalFrame, { statement: random(114) }],
    ['bind-account-key', bindKeyFrame, { ...binding, proof: random(64) }],
    ['open-recovery', openRecoveryFrame, claim],
    [
      'recover',
      recoverFrame,
      {
        ...claim,
        ...binding,
        keyProof: random(64),
        epoch: 5,
        commit: { messageId: random(16), message: random(90), groupInfo: random(90) },
        resync: { messageId: random(16), message: random(90) },
      },
    ],
    ['put-link-slot', putLinkFrame, { payload: random(70) }],
  ];
  const entry = samples.entries.find(({ message }) => message.length < 4096)!;
  const group = { groupInfo: random(90), epoch: 3, position: 9 };
  const described = { accountId: random(16), username: 'anna' };
  const nobody = { request: null, answer: random(30), reveal: null, confirmed: new Uint8Array(), cancelled: null, welcome: null };
  const answers: { readonly [Call in keyof typeof answerFrames]: object } = {
    'describe-server': { authenticationKey: random(32) },
    'create-account': { accountId: random(16), keyVersion: 1, binding: random(130), sequence: 1 },
    'find-account': described,
    'describe-accounts': { accounts: [described] },
    submit: { position: 1, sequence: 2, checked: true },
    'upload-key-packages': { stock: 3 },
    'claim-key-packages': { keyPackages: [{ accountId: random(16), keyPackageRef: random(32), keyPackage: samples.keyPackages[0] }] },
    'fetch-sequence': { entries: [entry], last: 9, stock: 2 },
    'fetch-group': group,
    'open-invitation': group,
    'list-groups': { groups: [{ groupId: random(16), answered: true }] },
    'open-recovery': { ...group, accountId: random(16), keyVersion: 1, removals: [random(114)] },
    recover: { keyVersion: 2, binding: random(130), position: 1, sequence: 2 },
    'begin-removal': {},
    'bind-account-key': { keyVersion: 2, binding: random(130) },
    'put-blob': {},
    'put-link-slot': {},
    'fetch-link': { slots: nobody },
    'delete-link': {},
  };
  const events = [
    `event: entry\nid: ${entry.sequence}\ndata: ${toJson(entry)}\n\n`,
    ': heartbeat\n\n',
    'event: stock\ndata: {"stock":3}\n\nevent: gone\ndata: \n\n',
  ].map(utf8);
  return [
    ...requests.map(([name, schema, value]) =>
      target(`request ${name}`, ['readFrame'], {
        samples: [utf8(toJson(value))],
        decode: (bytes) => readFrame(schema, bytes),
        allows: refusal,
      }),
    ),
    ...(Object.keys(answers) as (keyof typeof answers)[]).map((name) =>
      target(`answer ${name}`, ['readAnswer'], {
        samples: [utf8(toJson(answers[name]))],
        decode: (bytes) => fromJson<unknown>(answerFrames[name], textOf(bytes)),
        allows: never,
      }),
    ),
    ...(
      [
        ['sequence entry', sequenceEntryFrame, entry],
        ['stock', stockFrame, { stock: 4 }],
        ['problem document', problemFrame, { type: `${PROBLEM_URN}rate-limited`, title: 'x', status: 429, retryAfter: 5 }],
      ] as const
    ).map(([name, schema, value]) =>
      target<unknown>(name, [], {
        samples: [utf8(toJson(value))],
        decode: (bytes) => fromJson<unknown>(schema, textOf(bytes)),
        allows: never,
      }),
    ),
    target('event stream', [], {
      samples: [...events, utf8(events.map(textOf).join(''))],
      decode: (bytes) => {
        const parser = new EventParser();
        const middle = bytes.length >> 1;
        return [...parser.push(bytes.subarray(0, middle)), ...parser.push(bytes.subarray(middle))];
      },
      allows: (error) => error instanceof EventStreamError,
    }),
    target('Authorization header', ['parseAuthorization'], {
      samples: [utf8(header)],
      decode: (bytes) => parseAuthorization(textOf(bytes)),
      allows: never,
    }),
    target('bytes in a path', ['readText'], {
      samples: [utf8('AQIDBA')],
      decode: (bytes) => readText(groupIdFrame, textOf(bytes)),
      allows: refusal,
    }),
    target('count in a query', ['readCount'], {
      samples: [utf8('12'), utf8('900719925474099')],
      decode: (bytes) => readCount(textOf(bytes), 900_719_925_474_100),
      allows: refusal,
    }),
    target('header of a message, as the server reads it', ['readHeader'], {
      samples: samples.messages.filter((message) => message[3] === 1 || message[3] === 2 || message[3] === 4),
      decode: readHeader,
      allows: (error) => error instanceof DecodeError,
    }),
    target('call from a tab', ['readCall'], {
      samples: validCalls(samples.conversationId, 'CHORUS1-abc', samples.invitationCode),
      decode: (bytes) => readCall(parsed(textOf(bytes))),
      allows: never,
    }),
  ];
}

/** Tabs post values and no text: what is no JSON is posted as it is. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
