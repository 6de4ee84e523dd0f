/** How long a test goes on: short among the others, as long as it is worth with `npm run soak`. */
export function rounds(count: { readonly test: number; readonly soak: number }): number {
  return process.env['CHORUS_SOAK'] === undefined ? count.test : count.soak;
}
