import { describe, expect, it } from 'vitest';
import { createCatalog, KEPT_VERSIONS } from '../../../src/workflows/files/catalog.ts';
import type { Workflow } from '../../../src/workflows/workflow.ts';
import { smallWorkflow, workflowOf } from '../../support/comfyui/workflows.ts';

function small(version: string): Workflow {
  const { graph, manifest } = smallWorkflow();
  return { ...workflowOf(graph, manifest), version };
}

describe('createCatalog', () => {
  it('finds the version of a job, current or earlier, and else the current one', () => {
    const catalog = createCatalog({ workflows: [small('1')], broken: [] }, null, () => true);
    catalog.reload({ workflows: [small('2')], broken: [] });
    expect(catalog.all().map(({ version }) => version)).toEqual(['2']);
    expect(catalog.find('small', '1')?.version).toBe('1');
    expect(catalog.find('small', '2')?.version).toBe('2');
    expect(catalog.find('small', 'never')?.version).toBe('2');
    expect(catalog.find('other', '1')).toBeNull();
  });

  it('still finds earlier versions of a broken or removed workflow, but does not choose it for new jobs', () => {
    const catalog = createCatalog({ workflows: [small('1')], broken: [] }, null, () => true);
    catalog.reload({ workflows: [], broken: [{ name: 'small', problems: ['graph.json: is missing'] }] });
    expect(catalog.find('small', '1')?.version).toBe('1');
    expect(catalog.find('small', '2')).toBeNull();
    expect(catalog.choose('small')).toEqual({
      ok: false,
      message: 'small is broken: graph.json: is missing',
    });
    expect(catalog.choose(null)).toMatchObject({ ok: false });
    catalog.reload({ workflows: [small('1')], broken: [] });
    expect(catalog.choose('small')).toMatchObject({ ok: true });
  });

  it('chooses among the workflows with a mask, or those without, unless one is named', () => {
    const plain = small('1');
    const masked: Workflow = {
      ...plain,
      name: 'masked',
      manifest: { ...plain.manifest, mask: { target: { node: '2', input: 'image' } } },
    };
    const nameOf = (workflows: Workflow[], preferred: string | null, asked: string | null, mask: boolean) => {
      const choice = createCatalog({ workflows, broken: [] }, preferred, () => true).choose(asked, mask);
      return choice.ok ? choice.workflow.name : choice.message;
    };
    const both = [masked, plain];
    expect(nameOf(both, null, null, false)).toBe('small');
    expect(nameOf(both, null, null, true)).toBe('masked');
    expect(nameOf(both, 'small', null, true)).toBe('masked');
    expect(nameOf(both, 'masked', null, false)).toBe('small');
    expect(nameOf(both, null, 'small', true)).toBe('small');
    // The submit then says that this one takes none.
    expect(nameOf([plain], null, null, true)).toBe('small');
    expect(nameOf([plain], 'small', null, true)).toBe('small');
  });

  it('keeps a limited number of versions, the newest', () => {
    const catalog = createCatalog({ workflows: [small('0')], broken: [] }, null, () => true);
    for (let version = 1; version <= KEPT_VERSIONS + 5; version++) {
      catalog.reload({ workflows: [small(String(version))], broken: [] });
    }
    const present = String(KEPT_VERSIONS + 5);
    expect(catalog.find('small', '4')?.version).toBe(present);
    expect(catalog.find('small', '5')?.version).toBe('5');
    // A version that comes and goes takes one place.
    for (let round = 0; round < KEPT_VERSIONS; round++) {
      catalog.reload({ workflows: [small(round % 2 === 0 ? 'a' : 'b')], broken: [] });
    }
    expect(catalog.find('small', '20')?.version).toBe('20');
  });
});
