/** Where in the app this tab is. Places are fragments, so that a link is a plain link and nothing is asked of the server. */
export type Place =
  | { readonly name: 'conversations' }
  | { readonly name: 'conversation'; readonly conversationId: string }
  | { readonly name: 'new' }
  | { readonly name: 'devices' }
  | { readonly name: 'phrase' }
  /** A link to a conversation was followed; browsers do not send the code to the server. */
  | { readonly name: 'join'; readonly code: string };

export const HOME = '#/';
export const NEW_CONVERSATION = '#/new';
export const DEVICES = '#/devices';
export const PHRASE = '#/phrase';

/** Unknown fragments lead home. */
export function placeOf(fragment: string): Place {
  const [, name, conversationId] = fragment.split('/');
  if (name === 'conversation' && conversationId !== undefined && /^[0-9a-f]+$/.test(conversationId)) return { name, conversationId };
  if (name === 'join' && conversationId !== undefined && conversationId !== '') return { name, code: conversationId };
  return name === 'new' || name === 'devices' || name === 'phrase' ? { name } : { name: 'conversations' };
}

/** The link that a code goes into. */
export function invitationAddress(code: string): string {
  return `${location.origin}/#/join/${code}`;
}

export class Route {
  place = $state.raw<Place>(placeOf(location.hash));
  /** A link that was followed here and that the person has not decided on: an account may have to be made first. */
  invitation = $state<string>();

  constructor() {
    this.#remember();
    addEventListener('hashchange', () => {
      this.place = placeOf(location.hash);
      this.#remember();
    });
  }

  /** The person has joined, or does not want to: the code goes from the address too. */
  leaveInvitation(to: string): void {
    this.invitation = undefined;
    location.replace(to);
  }

  #remember(): void {
    if (this.place.name === 'join') this.invitation = this.place.code;
  }
}
