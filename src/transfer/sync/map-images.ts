import { isLandfallError } from '../../errors.js';
import type { MirrorDestination, MirrorFile } from './mirror-file.js';
import { type Fault, MirrorFileError } from './mirror-file-error.js';
import { mapRepository } from './path-template.js';
import type { MirrorPlan, PlannedRepository, WantedImage } from './planned.js';

/** One image, with where it goes. */
export interface MappedImage {
  readonly planned: PlannedRepository;
  readonly image: WantedImage;
  /** The canonical name of the repository at the destination. */
  readonly to: string;
}

/**
 * Where everything goes at one destination.
 *
 * @throws {MirrorFileError} where two different images would have one name there, or one would have none: nothing is copied
 *   then, since what is there in the end would be a matter of luck
 */
export function mapImages(
  plan: MirrorPlan,
  destination: MirrorDestination,
  file: Pick<MirrorFile, 'name'>,
): MappedImage[] {
  const faults: Fault[] = [];
  const taken = new Map<string, MappedImage>();
  const mapped: MappedImage[] = [];
  for (const planned of plan.repositories) {
    for (const image of planned.images) {
      const one = map({ planned, image }, destination, faults);
      if (one === undefined) continue;
      const key = `${one.to} ${image.tag ?? image.from}`;
      const other = taken.get(key);
      if (other === undefined) {
        taken.set(key, one);
        mapped.push(one);
      } else if (!isSame(one, other)) {
        faults.push(collision(one, other));
      }
    }
  }
  if (faults.length > 0) throw new MirrorFileError(file.name, faults);
  return mapped;
}

/** The repositories at the destination that a source's repository goes to, also where no image of it is wanted. */
export function targetsOf(planned: PlannedRepository, destination: MirrorDestination): ReadonlySet<string> {
  const targets = new Set<string>();
  for (const { to } of planned.images)
    targets.add(mapRepository({ registry: planned.registry, repository: planned.path }, to, destination));
  return targets;
}

function map(
  { planned, image }: { readonly planned: PlannedRepository; readonly image: WantedImage },
  destination: MirrorDestination,
  faults: Fault[],
): MappedImage | undefined {
  try {
    const from = { registry: planned.registry, repository: planned.path };
    return { planned, image, to: mapRepository(from, image.to, destination) };
  } catch (error) {
    if (!isLandfallError(error)) throw error;
    if (!faults.some(({ message, at }) => message === error.message && at === image.at))
      faults.push({ at: image.at, message: error.message, hint: error.hint });
    return undefined;
  }
}

/** Two sources may name one image; then it is copied once. */
function isSame(a: MappedImage, b: MappedImage): boolean {
  return a.planned.repository.location === b.planned.repository.location && a.image.from === b.image.from;
}

function collision(one: MappedImage, other: MappedImage): Fault {
  const name = ({ planned, image }: MappedImage): string => `${planned.repository.location}:${image.from}`;
  return {
    at: one.image.at,
    message: `${name(one)} and ${name(other)} would both be ${one.to}:${one.image.tag ?? one.image.from}`,
    hint: 'Keep them apart by `to`, or by a path with {registry} and {repository} in it.',
  };
}
