import { toBase64Url, utf8 } from '../bytes/index.ts';
import type { DeliveryCall, DeliveryCalls } from '../engine/ports.ts';
import { MAX_BLOB } from './bounds.ts';
import { answerFrames, fromJson, toJson } from './frames.ts';

/** Header with a link mailbox's token. */
export const LINK_TOKEN_HEADER = 'Chorus-Link-Token';

/** One call as an HTTP request, before it is signed. */
export interface CallShape {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query from the `/v1` on. */
  readonly target: string;
  readonly body: { readonly type: 'application/json' | 'application/octet-stream'; readonly bytes: Uint8Array } | undefined;
  readonly linkToken: Uint8Array | undefined;
}

const get = (target: string): CallShape => ({ method: 'GET', target, body: undefined, linkToken: undefined });

const send = (method: 'POST' | 'PUT', target: string, value: object): CallShape => ({
  method,
  target,
  body: { type: 'application/json', bytes: utf8(toJson(value)) },
  linkToken: undefined,
});

/** The query's end that names the last entry. */
export function markQuery(mark: Uint8Array | undefined): string {
  return mark === undefined ? '' : `&mark=${toBase64Url(mark)}`;
}

const shapes: { readonly [Call in DeliveryCall]: (request: DeliveryCalls[Call]['request']) => CallShape } = {
  'describe-server': () => get('/v1/server'),
  'create-account': (request) => send('POST', '/v1/accounts', request),
  'find-account': ({ username }) => get(`/v1/accounts?${new URLSearchParams({ username }).toString()}`),
  'describe-accounts': (request) => send('POST', '/v1/accounts/describe', request),
  submit: ({ groupId, ...submission }) => send('POST', `/v1/groups/${toBase64Url(groupId)}/messages`, submission),
  'upload-key-packages': (request) => send('POST', '/v1/key-packages', request),
  'claim-key-packages': (request) => send('POST', '/v1/key-packages/claim', request),
  'fetch-sequence': ({ after, limit, mark }) => get(`/v1/sequence?after=${after}&limit=${limit}${markQuery(mark)}`),
  'list-groups': () => get('/v1/groups'),
  'open-recovery': (request) => send('POST', '/v1/recovery/open', request),
  recover: (request) => send('POST', '/v1/recovery', request),
  'begin-removal': ({ deviceId, statement }) => send('POST', `/v1/devices/${toBase64Url(deviceId)}/removal`, { statement }),
  'bind-account-key': (request) => send('PUT', '/v1/account/key', request),
  'fetch-group': ({ groupId, epoch }) => get(`/v1/groups/${toBase64Url(groupId)}${epoch === undefined ? '' : `?epoch=${epoch}`}`),
  'open-invitation': ({ groupId, proof }) => send('POST', `/v1/groups/${toBase64Url(groupId)}/invitation`, { proof }),
  'put-blob': ({ hash, bytes }) => ({
    method: 'PUT',
    target: `/v1/blobs/${toBase64Url(hash)}`,
    body: { type: 'application/octet-stream', bytes },
    linkToken: undefined,
  }),
  'fetch-blob': ({ hash }) => get(`/v1/blobs/${toBase64Url(hash)}`),
  'put-link-slot': ({ linkId, token, slot, payload }) => ({
    ...send('PUT', `/v1/links/${toBase64Url(linkId)}/${slot}`, { payload }),
    linkToken: token,
  }),
  'fetch-link': ({ linkId, token, have }) => ({ ...get(`/v1/links/${toBase64Url(linkId)}?have=${have.join(',')}`), linkToken: token }),
  'delete-link': ({ linkId, token }) => ({
    method: 'DELETE',
    target: `/v1/links/${toBase64Url(linkId)}`,
    body: undefined,
    linkToken: token,
  }),
};

/** The HTTP request of `call`. */
export function shapeOf<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request']): CallShape {
  return shapes[call](request);
}

async function framed<Value>(frame: Parameters<typeof fromJson<Value>>[0], response: Response): Promise<Value | undefined> {
  return fromJson(frame, await response.text());
}

const readers: { readonly [Call in DeliveryCall]: (response: Response) => Promise<DeliveryCalls[Call]['answer'] | undefined> } = {
  'describe-server': (response) => framed(answerFrames['describe-server'], response),
  'create-account': (response) => framed(answerFrames['create-account'], response),
  'find-account': (response) => framed(answerFrames['find-account'], response),
  'describe-accounts': (response) => framed(answerFrames['describe-accounts'], response),
  submit: (response) => framed(answerFrames.submit, response),
  'upload-key-packages': (response) => framed(answerFrames['upload-key-packages'], response),
  'claim-key-packages': (response) => framed(answerFrames['claim-key-packages'], response),
  'fetch-sequence': (response) => framed(answerFrames['fetch-sequence'], response),
  'fetch-group': (response) => framed(answerFrames['fetch-group'], response),
  'open-invitation': (response) => framed(answerFrames['open-invitation'], response),
  'list-groups': (response) => framed(answerFrames['list-groups'], response),
  'open-recovery': (response) => framed(answerFrames['open-recovery'], response),
  recover: (response) => framed(answerFrames.recover, response),
  'begin-removal': (response) => framed(answerFrames['begin-removal'], response),
  'bind-account-key': (response) => framed(answerFrames['bind-account-key'], response),
  'put-blob': (response) => framed(answerFrames['put-blob'], response),
  'fetch-blob': async (response) => {
    const bytes = new Uint8Array(await response.arrayBuffer());
    return bytes.length <= MAX_BLOB ? { bytes } : undefined;
  },
  'put-link-slot': (response) => framed(answerFrames['put-link-slot'], response),
  'fetch-link': (response) => framed(answerFrames['fetch-link'], response),
  'delete-link': (response) => framed(answerFrames['delete-link'], response),
};

/** The answer in a response of status 200, or undefined when it is not one of this API's. */
export function readAnswer<Call extends DeliveryCall>(call: Call, response: Response): Promise<DeliveryCalls[Call]['answer'] | undefined> {
  return readers[call](response);
}
