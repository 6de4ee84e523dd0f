import { entropyToMnemonic, mnemonicToEntropy } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { fromHex, toHex } from './hex.ts';

/** Recovery phrases as a person reads and types them: BIP 39, English, 24 words for 32 bytes. */

export const PHRASE_WORDS = 24;

const KNOWN: ReadonlySet<string> = new Set(wordlist);
/** The first four letters tell all words of the list apart. */
const TELLING = 4;

/** The 24 words for 32 bytes in hex. */
export function wordsOf(entropy: string): string[] {
  return entropyToMnemonic(fromHex(entropy), wordlist).split(' ');
}

export type PhraseProblem =
  | { readonly kind: 'count'; readonly count: number }
  /** `number` counts from one; `meant` is the word of the list that begins alike. */
  | { readonly kind: 'unknown'; readonly number: number; readonly word: string; readonly meant: string | undefined }
  | { readonly kind: 'checksum' };

/** What a person typed as the 32 bytes in hex, or all that is wrong with it. */
export function readPhrase(text: string): { readonly entropy: string } | { readonly problems: readonly PhraseProblem[] } {
  const words = typedWords(text);
  const problems = words.flatMap((word, i): PhraseProblem[] =>
    KNOWN.has(word) ? [] : [{ kind: 'unknown', number: i + 1, word, meant: wordlist.find((known) => startsAlike(known, word)) }],
  );
  if (words.length !== PHRASE_WORDS) return { problems: [{ kind: 'count', count: words.length }, ...problems] };
  if (problems.length > 0) return { problems };
  try {
    return { entropy: toHex(mnemonicToEntropy(words.join(' '), wordlist)) };
  } catch {
    return { problems: [{ kind: 'checksum' }] };
  }
}

/** Words with or without their numbers, commas and capitals. */
export function typedWords(text: string): string[] {
  return text
    .normalize('NFKD')
    .toLowerCase()
    .split(/[\s\d.,;:)]+/)
    .filter((word) => word !== '');
}

/** Three different places of the 24, from one, in their order: what a person who has written them down can tell. */
export function askedPlaces(random: (length: number) => Uint8Array): number[] {
  const places = Array.from({ length: PHRASE_WORDS }, (_, i) => i + 1);
  const drawn = [...random(3)].flatMap((byte) => places.splice(byte % places.length, 1));
  return drawn.sort((a, b) => a - b);
}

function startsAlike(known: string, word: string): boolean {
  const length = Math.min(TELLING, word.length);
  return length >= TELLING - 1 && known.startsWith(word.slice(0, length));
}
