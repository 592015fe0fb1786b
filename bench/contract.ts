/**
 * What the parts of `npm run bench` agree on. A *case* is one comparison; its *contestants* do the same work,
 * each in its way, in turn, round by round; each run of a contestant gives a *sample*; what was promised of a
 * case are its *targets*.
 */
import type { Readable } from 'node:stream';

/** What one run took. */
export interface Sample {
  /** From the start of the contestant's command to its end. */
  readonly wallSeconds: number;
  /**
   * Processor time, user's and kernel's: of the command, of all that it started, and of a daemon that worked
   * for it.
   */
  readonly cpuSeconds: number;
  /** The most memory that the largest of its processes ever held (VmHWM of proc(5)). */
  readonly peakBytes: number;
  /** Further figures of this case, by name; the unit ends the name: `transferredBytes`. */
  readonly extra?: Readonly<Record<string, number>>;
}

/** Where a run takes place. */
export interface RunContext {
  /** Counted from 0, which is the first that warms up. */
  readonly round: number;
  /** An empty directory of this run's own, on tmpfs where one could be mounted; removed after the run. */
  readonly directory: string;
}

/**
 * One way to do the case's work. `prepare` and `cleanUp` are around every single run and are not measured;
 * `cleanUp` is called whatever happened before, and leaves no process and no mount.
 */
export interface Contestant {
  /** As the table shows it, and as targets name it: unique within the case. */
  readonly name: string;
  /** The version of the program that does the work, such as `containerd 1.7.24`. */
  readonly version?: string;
  prepare?(context: RunContext): Promise<void>;
  run(context: RunContext): Promise<Sample>;
  cleanUp?(context: RunContext): Promise<void>;
}

/**
 * `wall`, `cpu` and `peak` are those of every sample, in seconds, seconds and bytes; other names are of
 * `extra`.
 */
export type Figure = 'wall' | 'cpu' | 'peak' | (string & {});

/**
 * What was promised of a case, of the medians of the counted rounds.
 *
 * `ratio`: the figure of `of`, divided by the least of `against`; `difference`: less the least of `against`,
 * in the figure's unit; `value`: the figure as it is. A target whose contestants are not all there is not
 * judged.
 */
export type Target = Promised & ({ readonly atMost: number } | { readonly atLeast: number });

interface Promised {
  readonly figure: Figure;
  readonly of: string;
  readonly compare: 'ratio' | 'difference' | 'value';
  /** Names of contestants, the best of which counts; none for `value`. */
  readonly against?: readonly string[];
}

export interface BenchCase {
  /** One letter, as in `--cases a,b`. */
  readonly id: string;
  readonly title: string;
  /** What is pulled from where, by which command of each; printed above the table. */
  readonly description: string;
  readonly targets: readonly Target[];
  /**
   * The name of the contestant that ratios in the table are against; the best of several where they are
   * alike.
   */
  readonly reference: readonly string[];
  /** How many rounds are counted where so many are asked for: short runs need more. Default: as asked. */
  rounds?(asked: number): number;
  /** Publishes the images, starts what stands between, and tells who takes part. */
  open(environment: BenchEnvironment): Promise<OpenCase>;
}

/** A case that is under way; disposing of it ends what `open` started. */
export interface OpenCase extends AsyncDisposable {
  readonly contestants: readonly Contestant[];
}

/** What a case finds around it; each case has a registry of its own, which ends with it. */
export interface BenchEnvironment {
  /** A directory of the case's own, on tmpfs where one could be mounted; removed after the case. */
  readonly work: string;
  /** A directory of the case's own on a disk; removed after the case. */
  readonly disk: string;
  readonly registry: BenchRegistry;
  readonly programs: Programs;
  /**
   * Builds the image where the cache does not have it, and puts it into the registry under `bench/<name>:1`.
   */
  publish(recipe: ImageRecipe): Promise<PublishedImage>;
  /**
   * Says something that belongs to the case's result, such as who is missing; printed with it and kept in the
   * JSON.
   */
  readonly note: (text: string) => void;
}

export interface BenchRegistry {
  /** `127.0.0.1:PORT`, without TLS */
  readonly address: string;
  /** The requests that have ended since the last call, or since the start, in their order. */
  takeRequests(): Promise<readonly RegistryRequest[]>;
}

export interface RegistryRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly status: number;
  /** Of the answer's body. */
  readonly bytes: number;
}

/** The programs on PATH that are measured or needed. */
export interface Programs {
  /** Its path, or undefined; then a note names the Debian package that has it. */
  find(program: string): string | undefined;
  /** Whether all are there; notes name those that are not. */
  have(...programs: readonly string[]): boolean;
}

/** How an image is made. */
export interface ImageRecipe {
  /** The name of its repository and of its layout in the cache. */
  readonly name: string;
  /** Raised when what `build` makes has changed, so that what is cached is made anew. */
  readonly version: number;
  /**
   * Writes its layers into the layout.
   *
   * @param layout is committed with one image when this has returned
   * @param scratch an empty directory, removed afterwards
   */
  build(layout: LayoutWriter, scratch: string): Promise<void>;
}

/** How a layer is compressed: `gzip -6`, `zstd -3`. */
export type LayerCompression = 'gzip' | 'zstd';

export interface LayoutWriter {
  /**
   * Adds a layer, the next above, with the files below a directory, as GNU tar archives them, sorted by name.
   * Several may be added at once; their order is that of the calls.
   */
  addTree(directory: string, compression: LayerCompression): Promise<void>;
  /** Adds a layer that is a tar already. */
  addTar(tar: Readable, compression: LayerCompression): Promise<void>;
  /** Adds a layer that was made for another image, as it is. */
  addLayerOf(recipe: ImageRecipe, index: number): Promise<void>;
  /** Adds a layer with the files of another image's layer, compressed in another way. */
  recompressLayerOf(recipe: ImageRecipe, index: number, compression: LayerCompression): Promise<void>;
  /** How many layers that image has. */
  layersOf(recipe: ImageRecipe): Promise<number>;
}

/** A blob that the manifest names; sizes are in bytes. */
export interface PublishedLayer {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  /** The digest of the tar. */
  readonly diffId: string;
  readonly unpackedSize: number;
}

export interface PublishedImage {
  /** `bench/<name>`; the tag is `1`. */
  readonly repository: string;
  /** `127.0.0.1:PORT/bench/<name>:1` */
  readonly reference: string;
  readonly manifest: { readonly digest: string; readonly size: number };
  readonly config: { readonly digest: string; readonly size: number };
  readonly layers: readonly PublishedLayer[];
}

/** What was measured of one contestant. */
export interface ContestantResult {
  readonly name: string;
  readonly version?: string;
  /** Of the counted rounds, in their order: the same index in two contestants is the same round. */
  readonly samples: readonly Sample[];
}

/** What was measured of one case. */
export interface CaseResult {
  readonly case: BenchCase;
  readonly contestants: readonly ContestantResult[];
  readonly notes: readonly string[];
}
