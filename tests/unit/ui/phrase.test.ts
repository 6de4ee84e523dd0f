import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { askedPlaces, PHRASE_WORDS, readPhrase, wordsOf } from '../../../src/ui/phrase.ts';

const entropy = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));

describe('a recovery phrase', () => {
  it('is what BIP 39 gives for its bytes', () => {
    // github.com/trezor/python-mnemonic, vectors.json
    expect(wordsOf('00'.repeat(32)).join(' ')).toBe(`${'abandon '.repeat(23)}art`);
    expect(wordsOf('80'.repeat(32)).join(' ')).toBe(
      'letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic bless',
    );
  });

  it('gives its bytes back, however it was typed', () => {
    fc.assert(
      fc.property(entropy, (hex) => {
        const words = wordsOf(hex);
        expect(words).toHaveLength(PHRASE_WORDS);
        expect(readPhrase(words.join(' '))).toEqual({ entropy: hex });
        expect(readPhrase(words.map((word, i) => `${i + 1}. ${word.toUpperCase()},\n`).join(''))).toEqual({ entropy: hex });
      }),
    );
  });

  it('says which words are not in the list, and which were meant', () => {
    const words = [...wordsOf('80'.repeat(32))];
    words[2] = 'cag';
    words[9] = 'xylophone';
    expect(readPhrase(words.join(' '))).toEqual({
      problems: [
        { kind: 'unknown', number: 3, word: 'cag', meant: 'cage' },
        { kind: 'unknown', number: 10, word: 'xylophone', meant: undefined },
      ],
    });
  });

  it('says how many words are there when they are too few or too many', () => {
    expect(readPhrase('')).toEqual({ problems: [{ kind: 'count', count: 0 }] });
    expect(readPhrase('abandon '.repeat(25))).toEqual({ problems: [{ kind: 'count', count: 25 }] });
  });

  it('is refused when its words exist and do not belong together', () => {
    expect(readPhrase('abandon '.repeat(24))).toEqual({ problems: [{ kind: 'checksum' }] });
  });

  it('is asked for at three different places', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 3, maxLength: 3 }), (bytes) => {
        const places = askedPlaces(() => bytes);
        expect(new Set(places).size).toBe(3);
        expect(places.every((place) => place >= 1 && place <= PHRASE_WORDS)).toBe(true);
        expect(places).toEqual(places.toSorted((a, b) => a - b));
      }),
    );
  });
});
