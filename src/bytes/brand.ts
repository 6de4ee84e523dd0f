declare const brand: unique symbol;

/** `Base` that only the makers of `Name` hand out: an epoch ID is not just any bytes. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };
