/** Who wrote what. Every text of the world is another one, so that a line says who must have written it. */
export interface Written {
  readonly text: string;
  readonly username: string;
  readonly device: string;
  readonly conversationId: string;
  /** Hex. */
  readonly messageId: string;
  /** The worker has said that it is kept; before that, a crash may take it. */
  kept: boolean;
}

export class Texts {
  readonly byText = new Map<string, Written>();
  readonly byMessageId = new Map<string, Written>();

  write(written: Written): void {
    this.byText.set(written.text, written);
    this.byMessageId.set(written.messageId, written);
  }

  /** Whether bytes that leave a device hold a text, in clear or in the encodings in use. */
  checkSecret(body: Uint8Array, found: (detail: string) => void): void {
    if (body.length === 0) return;
    const clear = Buffer.from(body).toString('latin1');
    if (clear.includes(MARK)) found('a text in clear');
    for (const [encoded] of clear.matchAll(/[\w-]{24,}/g)) {
      if (Buffer.from(encoded, 'base64url').includes(MARK)) found('a text in base64url');
    }
  }
}

/** In every text, and in nothing else. */
export const MARK = 'words-of-';
