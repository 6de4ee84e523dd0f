/**
 * A mark that this browser was a device of an account. It lies in `localStorage`, which Chromium leaves alone when it deletes
 * a site's databases and workers to make room: a browser with the mark and without a device has lost it. It says nothing else,
 * and is never sent anywhere.
 */

const MARK = 'chorus-device';

export function markDevice(): void {
  try {
    localStorage.setItem(MARK, 'here');
  } catch {
    // then a lost device is greeted like a new one
  }
}

/** The person knows, or has deleted the device on purpose. */
export function unmarkDevice(): void {
  try {
    localStorage.removeItem(MARK);
  } catch {
    // there is none
  }
}

export function isMarked(): boolean {
  try {
    return localStorage.getItem(MARK) !== null;
  } catch {
    return false;
  }
}
