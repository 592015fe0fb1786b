/**
 * An attempt to reach what lies outside: a {@link Sentinel}, which nothing may touch. Whatever becomes of the
 * attempt itself, nothing that holds the sentinel's content may appear inside either.
 */
export interface Escape {
  readonly name: string;
  /**
   * Bottom first; the parts of each archive.
   *
   * @param outside - absolute path of the sentinel's directory
   * @param up - leads there from the root of the layer by `..`, without a slash at either end
   */
  readonly layers: (outside: string, up: string) => readonly (readonly Buffer[])[];
  /** Of the error; without one the layers are taken, and all of them lies inside. */
  readonly code?: string;
}
