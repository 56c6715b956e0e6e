variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "project_id" {
  description = "The project."
  type        = string
}

variable "region" {
  description = "The region's name: Google's, and the cluster's."
  type        = string
}

variable "region_id" {
  description = "The region's number in the cluster, never used again."
  type        = number
}

variable "cluster_name" {
  description = "Name of the cluster; regions of another are refused."
  type        = string
}

variable "zones" {
  description = "Zones that the node may be in; a store of our own is in the first."
  type        = list(string)
}

variable "machine_type" {
  description = "Machine type of the node."
  type        = string
}

variable "store" {
  description = "The region's store."
  type = object({
    kind          = string
    node_type     = string
    replica_count = number
    append_fsync  = string
    machine_type  = string
    disk_gb       = number
    memory_mb     = number
  })
}

variable "network" {
  description = "The network."
  type        = string
}

variable "subnetwork" {
  description = "The region's subnet."
  type        = string
}

variable "dns" {
  description = "The private zone, and its DNS name with the final dot."
  type = object({
    zone = string
    name = string
  })
}

variable "node_account" {
  description = "Service account of the node."
  type        = string
}

variable "store_account" {
  description = "Service account of a store of our own."
  type        = string
  default     = null
}

variable "identity_secret" {
  description = "Secret with the node's certificate chain and key."
  type        = string
}

variable "ca_secret" {
  description = "Secret with the authority's certificate."
  type        = string
}

variable "images" {
  description = "Images: the node, the store, the collector of metrics, and the operating system."
  type = object({
    node    = string
    store   = string
    metrics = string
    system  = string
  })
}

variable "peers" {
  description = "The other regions: id by name."
  type        = map(number)
}

variable "ports" {
  description = "Ports of the doors."
  type = object({
    http = number
    resp = number
    grpc = number
    peer = number
  })
}

variable "settings" {
  description = "Further settings of the node, by environment variable."
  type        = map(string)
  default     = {}
}

variable "replace" {
  description = "Whether a changed template replaces the node now, or at its next start."
  type        = bool
  default     = false
}

variable "autoheal_delay_seconds" {
  description = "How long a new node may take to become ready before it is replaced."
  type        = number
}

variable "deletion_protection" {
  description = "Whether the store is protected from being destroyed."
  type        = bool
}

variable "kms_key" {
  description = "Customer-managed key for disks and the store; Google's own without."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of everything that takes any."
  type        = map(string)
  default     = {}
}
