/** Why the server does not start on the data that it finds, and what to do, in words for whoever runs it. Nothing has been changed. */
export class DataProblem extends Error {
  override readonly name = 'DataProblem';
  readonly code: 'damaged' | 'foreign' | 'newer' | 'incomplete' | 'in-use' | 'exists';

  constructor(code: DataProblem['code'], message: string, cause?: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** What helps when data is damaged or missing. */
export const RESTORE_HINT = 'Restore a backup with `npm run restore -- --from FILE` (docs/operating.md).';
