/** How long what a tag leads to is taken to hold, where nobody says otherwise, in ms. */
export const DEFAULT_PULL_THROUGH_TTL_MS = 60_000;
