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
  resync_message: { signature_private_key: string; emulation_message: string };
  onboarding: OnboardingVector;
  account: AccountVector;
  group_creation: GroupCreationVector;
  update_path: UpdatePathVector;
  external_commit: ExternalCommitVector;
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

/** One more operation of the vector's epoch, after those of `operations`. */
export interface OperationInputs {
  leaf_index: number;
  random: string;
  pprf_leaf: number;
  operation_secret: string;
}

export interface TransferVector {
  group_id: string;
  log_position: number;
  group_state: string;
  /** Index into `onboarding.operations`. */
  leaf_operation: number;
  live_leaf: string;
  /** Indices into `onboarding.operations`. */
  pending_operations: number[];
}

export interface OnboardingVector {
  operations: OperationInputs[];
  sequence: number;
  signing_keys: { key_version: number; signature_private_key: string }[];
  active_key_packages: { key_package_ref: string; operation: number }[];
  emulation_epoch: { epoch: number; leaves: { leaf_index: number; signature_key: string }[] };
  state_transfer: TransferVector;
  external_commit: { group_id: string };
  state_reference: TransferVector & { blob_key: string; blob: string; blob_hash: string; blob_length: number };
  application_data: string;
  new_emulator_client_state: string;
}

export interface AccountVector {
  account_id: string;
  key_version: number;
  signature_private_key: string;
  authentication_private_key: string;
  account_binding: string;
}

export interface GroupCreationVector {
  operation: OperationInputs;
  group_id: string;
  leaf_node: string;
  epoch_secret: string;
  confirmation_tag: string;
  epoch_authenticator: string;
  group_info: string;
}

export interface UpdatePathVector {
  operation: OperationInputs;
  ratchet_tree_before: string;
  leaf_index: number;
  members: { leaf_index: number; encryption_private_key: string; path_private_keys: { node_index: number; private_key: string }[] }[];
  path_secrets: string[];
  group_context: string;
  update_path: string;
  commit_secret: string;
  ratchet_tree_after: string;
}

export interface ExternalCommitVector {
  operation: OperationInputs;
  group_info: string;
  external_private_key: string;
  external_pub: string;
  external_init_seed: string;
  kem_output: string;
  init_secret: string;
  commit: string;
  commit_secret: string;
  confirmation_tag: string;
  epoch_authenticator: string;
}
