/** A virtual machine as the client commands see it. */
export interface CliVm {
  readonly id: number;
  readonly uuid: string;
  readonly name: string;
  readonly status: string;
  readonly power_state: string | null;
  readonly fault: string | null;
  readonly environment: { readonly name: string; readonly region: string };
  readonly image: { readonly name: string };
  readonly flavor: { readonly name: string; readonly cpu: number; readonly ram: number; readonly disk: number; readonly gpu: string; readonly gpu_count: number };
  readonly key_names: readonly string[];
  readonly labels: readonly string[];
  readonly fixed_ip: string | null;
  readonly floating_ip: string | null;
  readonly volume_attachments: readonly { readonly device: string | null; readonly volume: { readonly name: string } }[];
  readonly is_snapshotting: boolean;
  readonly created_at: string;
  readonly reachable_at: string | null;
  readonly allowed_actions: readonly string[];
}
