/** Attachment: takes the focus when it appears, so that keyboard and screen reader follow to a new place. */
export function takeFocus(node: HTMLElement): void {
  node.tabIndex = -1;
  node.focus({ preventScroll: true });
}
