import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';

/** The program of `npm start`, bundled for Node as production has it, as a process of its own over one data folder. */
export class ServerProcess {
  readonly folder: string;
  #child: ChildProcess | undefined;
  #errors = '';

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** Bundles it into a folder from which its packages are found. */
  static async build(): Promise<ServerProcess> {
    const packages = join(import.meta.dirname, '../../node_modules');
    mkdirSync(packages, { recursive: true });
    const folder = mkdtempSync(join(packages, '.chorus-server-'));
    await build({
      configFile: false,
      logLevel: 'warn',
      build: { ssr: 'server/main.ts', outDir: folder, emptyOutDir: false, rolldownOptions: { output: { entryFileNames: 'main.js' } } },
    });
    return new ServerProcess(folder);
  }

  get dataDir(): string {
    return join(this.folder, 'data');
  }

  /** What the last process has written to its error output. */
  get errors(): string {
    return this.#errors;
  }

  /** @returns its origin. @throws Error when it ends instead, with its exit code as the cause */
  async run(environment: Readonly<Record<string, string>> = {}): Promise<string> {
    const started = spawn(process.execPath, [join(this.folder, 'main.js')], {
      env: { ...process.env, PORT: '0', DATA_DIR: this.dataDir, APP_DIR: join(this.folder, 'no-app'), ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = started;
    this.#errors = '';
    started.stderr.on('data', (text: Buffer) => {
      this.#errors += text.toString();
    });
    return new Promise((resolve, reject) => {
      started.once('close', (code) => reject(new Error('the server did not start', { cause: code })));
      started.stdout.on('data', (text: Buffer) => {
        const url = /running at (http:\/\/localhost:\d+)/.exec(text.toString())?.[1];
        if (url !== undefined) resolve(url);
      });
    });
  }

  /** @returns the exit code; null when the signal ended it. */
  async end(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT'): Promise<number | null> {
    const ending = this.#child;
    this.#child = undefined;
    if (ending === undefined || ending.exitCode !== null || ending.signalCode !== null) return ending?.exitCode ?? null;
    const ended = new Promise<number | null>((resolve) => ending.once('exit', resolve));
    ending.kill(signal);
    return ended;
  }

  /** Kills what runs and starts with no data. */
  async reset(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  async dispose(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true });
  }
}
