import { renderTable, type TableColumn } from '../src/cli/format/text.js';
import type { Figure } from './contract.js';
import { formatFigure } from './figures.js';
import type { CaseRecord, ContestantRecord } from './record.js';
import { spread, type Summary } from './statistics.js';
import type { Judgement } from './targets.js';

/** How the median is found: the first columns of each table; a case may have more figures. */
const STANDARD: readonly Figure[] = ['wall', 'cpu', 'peak'];

/** A case for people: what it is, a row for each contestant, notes, and what became of the targets. */
export function renderCase(record: CaseRecord): string {
  return [
    `(${record.id}) ${record.title}`,
    record.description,
    '',
    renderContestants(record),
    ...record.notes.map((note) => `note: ${note}`),
    ...record.targets.map(renderJudgement),
    '',
  ].join('\n');
}

function renderContestants({ contestants, reference }: CaseRecord): string {
  const figures = contestants.flatMap((contestant) => Object.keys(contestant.figures));
  const further = [...new Set(figures)].filter((figure) => !STANDARD.includes(figure));
  const columns: TableColumn[] = [
    { title: 'CONTESTANT' },
    { title: 'VERSION' },
    { title: 'WALL', align: 'right' },
    { title: 'MIN .. MAX' },
    { title: 'SPREAD', align: 'right' },
    { title: 'CPU', align: 'right' },
    { title: 'MEMORY', align: 'right' },
    ...further.map((title): TableColumn => ({ title: title.toUpperCase(), align: 'right' })),
    ...(reference === undefined ? [] : ratioColumns(reference)),
  ];
  return renderTable(
    columns,
    contestants.map((contestant) => renderRow(contestant, further)),
  );
}

function ratioColumns(reference: string): TableColumn[] {
  return [{ title: `× ${reference.toUpperCase()}`, align: 'right' }, { title: 'BY ROUND' }];
}

function renderRow({ name, version, figures, wallRatio }: ContestantRecord, further: Figure[]): string[] {
  const median = (figure: Figure): string => formatMedian(figure, figures[figure]);
  const wall = figures['wall'];
  const row = [name, version ?? '', median('wall')];
  row.push(wall === undefined ? '' : formatRange((value) => formatFigure('wall', value), wall));
  row.push(wall === undefined ? '' : `${(100 * spread(wall)).toFixed(0)} %`);
  row.push(median('cpu'), median('peak'), ...further.map((figure) => formatFurther(figure, figures[figure])));
  if (wallRatio === undefined) return row;
  const { ofMedians, byRound } = wallRatio;
  const ratio = (value: number): string => value.toFixed(2);
  return [...row, ratio(ofMedians), `${ratio(byRound.median)} (${formatRange(ratio, byRound)})`];
}

function formatMedian(figure: Figure, summary: Summary | undefined): string {
  return summary === undefined ? '' : formatFigure(figure, summary.median);
}

/** With its range only where there is one: most such figures are the same in each round. */
function formatFurther(figure: Figure, summary: Summary | undefined): string {
  if (summary === undefined || summary.minimum === summary.maximum) return formatMedian(figure, summary);
  const format = (value: number): string => formatFigure(figure, value);
  return `${formatMedian(figure, summary)} (${formatRange(format, summary)})`;
}

function formatRange(format: (value: number) => string, { minimum, maximum }: Summary): string {
  return `${format(minimum)} .. ${format(maximum)}`;
}

function renderJudgement({ promise, found }: Judgement): string {
  if (found === undefined) return `target: ${promise}: not judged, somebody is missing`;
  return `target: ${promise}: ${found.text}, ${found.met ? 'met' : 'MISSED'}`;
}
