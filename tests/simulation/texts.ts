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
  /** On their way when a device was copied: it and its copy both have them. */
  readonly doubled = new Set<string>();
  /** Of each conversation, by hex ID. */
  readonly titles = new Map<string, string>();
  /** By conversation: usernames of those whom somebody has asked to be in it, and to be out of it. */
  readonly invited = new Map<string, Set<string>>();
  readonly expelled = new Map<string, Set<string>>();

  write(written: Written): void {
    this.byText.set(written.text, written);
    this.byMessageId.set(written.messageId, written);
  }

  /** What a device has kept may be gone with it. */
  lose(device: string): void {
    for (const written of this.byText.values()) if (written.device === device) written.kept = false;
  }

  /** Whether bytes that leave a device hold what a person has written or one of the secrets, in clear or in the encodings in use. */
  checkSecret(body: Uint8Array, secrets: readonly Buffer[], found: (detail: string) => void): void {
    if (body.length === 0) return;
    const bytes = Buffer.from(body);
    const clear = bytes.toString('latin1');
    const look = (where: Buffer, how: string): void => {
      if (where.includes(MARK)) found(`a text, title or name ${how}`);
      if (secrets.some((secret) => where.includes(secret))) found(`a secret ${how}`);
    };
    look(bytes, 'in clear');
    for (const [encoded] of clear.matchAll(/[\w-]{24,}/g)) look(Buffer.from(encoded, 'base64url'), 'in base64url');
  }
}

/** In every text, every title and every device's name, and in nothing else. */
export const MARK = 'words-of-';

export function ask(asked: Map<string, Set<string>>, conversationId: string, usernames: readonly string[]): void {
  asked.set(conversationId, new Set([...(asked.get(conversationId) ?? []), ...usernames]));
}

/** What the product is told that a device is called. */
export function shownName(name: string): string {
  return MARK + name;
}
