import { diagnose } from '../../engine/doctor.js';
import { answer, type CommandContext, type CommandResult } from '../command-context.js';
import { printable } from '../format/printable.js';
import { formatSize } from '../format/size.js';
import { renderTable } from '../format/table.js';

export async function doctorCommand(context: CommandContext): CommandResult {
  const diagnosis = await diagnose(context.settings.root);
  answer(context, diagnosis, () => {
    const { node, platform, root, freeBytes, capabilities } = diagnosis;
    const table = renderTable(
      [{ title: 'CAPABILITY' }, { title: 'HERE' }, { title: 'DETAIL' }, { title: 'WITHOUT IT' }],
      capabilities.map(({ name, available, detail, without }) => [
        name,
        available ? 'yes' : 'no',
        detail,
        without,
      ]),
    );
    return `node ${node}, ${platform}; store ${printable(root)}, ${formatSize(freeBytes)} free\n\n${table}`;
  });
  return 0;
}
