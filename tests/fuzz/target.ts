/** One decoder, or entry, that takes outside bytes. */
export interface Target {
  readonly name: string;
  /** Exported functions of src and server that it stands for, by name. */
  readonly covers: readonly string[];
  /** Valid inputs, made by the real code. */
  readonly samples: readonly Uint8Array[];
  /** The value of valid input; throws, or gives undefined, on any other. */
  readonly decode: (bytes: Uint8Array) => unknown;
  /** Whether an error is one that this decoder may throw. */
  readonly allows: (error: unknown) => boolean;
  /** Bytes of valid records beside the one that is mutated. */
  readonly beside: number;
  /** For a canonical form: the only bytes that stand for the value. */
  readonly encode?: (value: never) => Uint8Array;
}

/** A target of which the decoder's and the encoder's types agree. */
export function target<Value>(
  name: string,
  covers: readonly string[],
  {
    samples,
    decode,
    encode,
    allows,
    beside = 0,
  }: {
    readonly samples: readonly Uint8Array[];
    readonly decode: (bytes: Uint8Array) => Value;
    readonly encode?: (value: NonNullable<Value>) => Uint8Array;
    readonly allows: (error: unknown) => boolean;
    readonly beside?: number;
  },
): Target {
  if (samples.length === 0) throw new Error(`${name} has no sample`);
  return {
    name,
    covers,
    samples,
    decode,
    allows,
    beside,
    ...(encode === undefined ? {} : { encode: encode }),
  };
}
