export * from './bytes.ts';
export type { Brand } from './brand.ts';
export { Secret, type Spending } from './secret.ts';
