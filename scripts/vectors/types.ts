/** One test vector: byte strings in lower-case hex, names as in the published description. */
export interface Vector {
  cipher_suite: 1;
  application_export_secret: string;
  emulator_epoch_secret: string;
  exporter_tree_after: string;
  epoch_id: string;
  epoch_base_secret: string;
  epoch_encryption_key: string;
  generation_id_secret: string;
  leaf_count: number;
  operations: OperationVector[];
  pprf: { root: string; leaves: number[]; secrets: string[]; state_after: string };
  reuse_guards: {
    leaf_node_secret: string;
    key_schedule_nonce: string;
    leaf_count: number;
    leaf_index: number;
    x: number;
    prp_key: string;
    reuse_guard: string;
  }[];
  generation_ids: { generation: number; ratchet_type: number; generation_id: string }[];
  key_package_upload: {
    epoch_id: string;
    key_packages: { key_package_ref: string; random: string }[];
    virtual_client_action: string;
    safe_aad: string;
  };
  external_join: { group_id: string; virtual_client_action: string; safe_aad: string };
  recovery: { phrase_entropy: string; public_key: string; group_id: string; epoch: number; signature_key: string; signature: string };
}

export interface OperationVector {
  leaf_index: number;
  random: string;
  pprf_input: string;
  pprf_leaf: number;
  operation_secret: string;
  signature_key_secret: string;
  encryption_key_secret: string;
  init_key_secret: string;
  path_generation_secret: string;
  leaf_node_secret: string;
  external_init_seed: string;
  group_creation_secret: string;
  encryption_public_key: string;
  init_public_key: string;
  external_init_public_key: string;
  path_public_keys: string[];
  commit_secrets: string[];
  epoch_info_tbe: string;
  derivation_key: string;
  derivation_nonce: string;
  derivation_info: string;
  target_suite_3: {
    encryption_key_secret: string;
    init_key_secret: string;
    path_generation_secret: string;
    encryption_public_key: string;
    init_public_key: string;
  };
  pprf_state_after: string;
}
