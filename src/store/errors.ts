import type { StoreErrorCode } from '../engine/ports.ts';

export type { StoreErrorCode };

/** `path` says which record; it holds random identifiers only. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly path: string | undefined;

  constructor(code: StoreErrorCode, path?: string) {
    super(path === undefined ? code : `${code}: ${path}`);
    this.code = code;
    this.path = path;
  }
}

/** The browser's error by our code; `otherwise` where its name says nothing. The browser's text is dropped. */
export function asStoreError(error: unknown, otherwise: StoreErrorCode): StoreError {
  if (error instanceof StoreError) return error;
  switch (nameOf(error)) {
    case 'QuotaExceededError':
      return new StoreError('quota-exceeded');
    case 'VersionError':
      return new StoreError('newer-version');
    case 'SecurityError':
    case 'NotAllowedError':
    case 'UnknownError': // Chromium's, for a profile whose files it cannot read or write
      return new StoreError('unavailable');
    default:
      return new StoreError(otherwise);
  }
}

function nameOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'name' in error && typeof error.name === 'string' ? error.name : undefined;
}
