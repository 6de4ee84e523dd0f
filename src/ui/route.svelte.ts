/** Where in the app this tab is. Places are fragments, so that a link is a plain link and nothing is asked of the server. */
export type Place =
  | { readonly name: 'conversations' }
  | { readonly name: 'conversation'; readonly conversationId: string }
  | { readonly name: 'new' }
  | { readonly name: 'devices' }
  | { readonly name: 'phrase' };

export const HOME = '#/';
export const NEW_CONVERSATION = '#/new';
export const DEVICES = '#/devices';
export const PHRASE = '#/phrase';

/** Unknown fragments lead home. */
export function placeOf(fragment: string): Place {
  const [, name, conversationId] = fragment.split('/');
  if (name === 'conversation' && conversationId !== undefined && /^[0-9a-f]+$/.test(conversationId)) return { name, conversationId };
  return name === 'new' || name === 'devices' || name === 'phrase' ? { name } : { name: 'conversations' };
}

export class Route {
  place = $state.raw<Place>(placeOf(location.hash));

  constructor() {
    addEventListener('hashchange', () => {
      this.place = placeOf(location.hash);
    });
  }
}
