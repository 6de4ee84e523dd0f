import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import { DecodeError } from '../../../src/wire/index.ts';
import { Confidential, keysIn, saidBy } from '../../fuzz/confidential.ts';

// The fuzzing's own eye for what an error gives away.

const key = new Uint8Array(randomBytes(32));
const buffer = Buffer.from(key);
const confidential = new Confidential(keysIn({ deep: [new Map([['in', Secret.of('key', key)]])] }), ['Choir']);
const givenAway = (message: string): string | undefined => confidential.givenAwayBy(saidBy(new Error(message)));

describe('an error that gives something away is found', () => {
  it.each([
    ['hex', buffer.toString('hex')],
    ['hex of its second half', buffer.subarray(16).toString('hex').toUpperCase()],
    ['hex right behind a word', `Binding${buffer.toString('hex')}`],
    ['hex behind a letter that could be of it', `field${buffer.toString('hex')}`],
    ['base64', buffer.toString('base64')],
    ['base64url behind other text', `x${buffer.toString('base64url')}`],
    ['numbers', String(key)],
  ])('with a key as %s', (_name, written) => {
    expect(givenAway(`bad: ${written}!`)).toBe('a key');
  });

  it('with a text, in its cause too, or in a field', () => {
    expect(givenAway('no Choir here')).toBe('a text');
    expect(confidential.givenAwayBy(saidBy(new Error('x', { cause: new Error('Choir') })))).toBe('a text');
    expect(confidential.givenAwayBy(saidBy(Object.assign(new Error('x'), { title: 'Choir' })))).toBe('a text');
  });

  it('with what came in', () => {
    const input = new Uint8Array(randomBytes(40));
    expect(confidential.givenAwayBy(Buffer.from(input).toString('hex'), input)).toBe('what came in');
  });
});

it('an error that names a field, a length or an ID gives nothing away', () => {
  expect(confidential.givenAwayBy(saidBy(new DecodeError('vector-too-long', 'new_emulator_client_state')), key)).toBe(undefined);
  expect(givenAway(`conversation ${randomBytes(16).toString('hex')} has 4096 entries`)).toBe(undefined);
});
