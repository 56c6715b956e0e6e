variable "project_id" {
  description = "The Google Cloud project that everything is made in."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is a project's id (6 to 30 lower-case letters, digits and hyphens, a letter first), not its name or number."
  }
}

variable "name" {
  description = "Prefix of every resource's name, and the name of the cluster: regions of another cluster are refused."
  type        = string
  default     = "cartograph"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,14}[a-z0-9]$", var.name))
    error_message = "name has 3 to 16 lower-case letters, digits and hyphens, and begins with a letter: longer ones would not fit into service accounts' names."
  }
}

variable "regions" {
  description = <<-EOT
    The cluster: Google Cloud regions by name. To add a region, add a line; how to do it under load, and how to remove
    one, is in docs/operating/google-cloud.md.

    - `id`: 1 to 65535, for ever this region's; an id is never used again, not even after the region is gone.
    - `cidr`: address range of its subnet, in no other region's.
    - `zones`: where the node may be. A self-managed store is in the first.
    - `serving`: false takes clients away (before the region leaves, say) and leaves everything else.
    - `store.kind`: `memorystore` (Memorystore for Valkey, with `replica_count` replicas) or `self-managed` (a Valkey on
      a machine of its own, with a disk that outlives it).
    - `store.append_fsync`: `ALWAYS` makes an acknowledged write durable; `EVERYSEC` may lose the last second of a store
      that crashes, unless another region has it.
    - `settings`: further settings of the node, by environment variable; see docs/configuration.md.
  EOT
  type = map(object({
    id           = number
    cidr         = string
    zones        = list(string)
    machine_type = optional(string, "n2-standard-2")
    serving      = optional(bool, true)
    settings     = optional(map(string), {})
    store = optional(object({
      kind          = optional(string, "memorystore")
      node_type     = optional(string, "STANDARD_SMALL")
      replica_count = optional(number, 1)
      append_fsync  = optional(string, "ALWAYS")
      machine_type  = optional(string, "n2-highmem-2")
      disk_gb       = optional(number, 50)
      memory_mb     = optional(number, 10240)
    }), {})
  }))

  validation {
    condition     = length(var.regions) >= 1 && length(var.regions) <= 10
    error_message = "regions has 1 to 10 entries: a firewall rule names at most ten service accounts, and each region has its own."
  }
  validation {
    condition     = alltrue([for region in var.regions : region.id >= 1 && region.id <= 65535 && floor(region.id) == region.id])
    error_message = "regions[*].id is a whole number from 1 to 65535."
  }
  validation {
    condition     = length(distinct([for region in var.regions : region.id])) == length(var.regions)
    error_message = "regions[*].id: two regions have the same id. Each has its own, for ever."
  }
  validation {
    condition     = alltrue([for region in var.regions : can(cidrhost(region.cidr, 0)) && try(tonumber(split("/", region.cidr)[1]), 0) <= 28])
    error_message = "regions[*].cidr is an IPv4 range such as 10.10.0.0/24, of at least 16 addresses."
  }
  # Same block at the shorter of both prefixes: one contains the other.
  validation {
    condition = alltrue(flatten([
      for a, first in var.regions : [
        for b, second in var.regions : a == b || try(
          cidrhost("${split("/", first.cidr)[0]}/${min(split("/", first.cidr)[1], split("/", second.cidr)[1])}", 0) !=
          cidrhost("${split("/", second.cidr)[0]}/${min(split("/", first.cidr)[1], split("/", second.cidr)[1])}", 0),
          true
        )
      ]
    ]))
    error_message = "regions[*].cidr: the ranges of two regions overlap."
  }
  validation {
    condition     = alltrue([for name, region in var.regions : length(region.zones) >= 1 && alltrue([for zone in region.zones : startswith(zone, "${name}-")])])
    error_message = "regions[*].zones names at least one zone, each of its own region (europe-west1-b in europe-west1)."
  }
  validation {
    condition     = alltrue([for name, region in var.regions : can(regex("^[a-z]+-[a-z]+[0-9]+$", name))])
    error_message = "regions: the names are those of Google Cloud regions, such as europe-west1."
  }
  validation {
    condition     = alltrue([for region in var.regions : contains(["memorystore", "self-managed"], region.store.kind)])
    error_message = "regions[*].store.kind is memorystore or self-managed."
  }
  validation {
    condition     = alltrue([for region in var.regions : contains(["ALWAYS", "EVERYSEC"], region.store.append_fsync)])
    error_message = "regions[*].store.append_fsync is ALWAYS or EVERYSEC. Without an append-only file a crash loses what was acknowledged."
  }
  validation {
    condition     = alltrue([for region in var.regions : region.store.replica_count >= 0 && region.store.replica_count <= 5])
    error_message = "regions[*].store.replica_count is 0 to 5."
  }
  validation {
    condition     = alltrue([for region in var.regions : contains(["SHARED_CORE_NANO", "STANDARD_SMALL", "HIGHMEM_MEDIUM", "HIGHMEM_XLARGE"], region.store.node_type)])
    error_message = "regions[*].store.node_type is SHARED_CORE_NANO, STANDARD_SMALL, HIGHMEM_MEDIUM or HIGHMEM_XLARGE."
  }
  validation {
    condition     = alltrue([for region in var.regions : alltrue([for key in keys(region.settings) : can(regex("^CARTOGRAPH_[A-Z_]+$", key))])])
    error_message = "regions[*].settings: the keys are the node's environment variables, such as CARTOGRAPH_LIMITS_LOG_BYTES_MAX."
  }
}

variable "retired_region_ids" {
  description = "Ids of regions that are gone for good. Their ids are never used again: Terraform forgets, this list does not."
  type        = set(number)
  default     = []
  validation {
    condition     = length(setintersection(var.retired_region_ids, toset([for region in var.regions : region.id]))) == 0
    error_message = "retired_region_ids: an id of a region that is gone is used by a region again. Give the new region a new id."
  }
}

variable "image" {
  description = "Image of the node: deploy/Dockerfile, built and pushed to a registry of yours. By digest, or at least a tag that never moves."
  type        = string
  validation {
    condition     = can(regex("^[^:@ ]+(:[0-9]+)?/[^:@ ]+(:[^:@ ]+|@sha256:[0-9a-f]{64})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image is REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST, and the tag is not `latest`: a node that is replaced must come back as what it was."
  }
}

variable "artifact_repository" {
  description = "The Artifact Registry repository that holds the image, so that nodes may read it; none if they need no leave."
  type = object({
    project  = string
    location = string
    name     = string
  })
  default = null
}

variable "other_images" {
  description = "Images besides the node's: the collector of metrics, a self-managed store, and the operating system."
  type = object({
    store   = optional(string, "docker.io/valkey/valkey:8.1-bookworm")
    metrics = optional(string, "gke.gcr.io/prometheus-engine/prometheus:v2.45.3-gmp.10-gke.0")
    system  = optional(string, "projects/cos-cloud/global/images/family/cos-121-lts")
  })
  default = {}
}

variable "replace" {
  description = "Regions whose node this run may replace if its template changed. Others take the change at their next start. One at a time; see docs/operating/google-cloud.md."
  type        = set(string)
  default     = []
  validation {
    condition     = length(setsubtract(var.replace, keys(var.regions))) == 0
    error_message = "replace names a region that is not in regions."
  }
  validation {
    condition     = length(var.replace) <= 1
    error_message = "replace names one region at a time: wait until it is ready, then the next. All at once would be an outage."
  }
}

variable "autoheal_delay_seconds" {
  description = "How long a new node may take to become ready before it is replaced. A region that joins reads everything first: give it time."
  type        = number
  default     = 1800
  validation {
    condition     = var.autoheal_delay_seconds >= 300 && var.autoheal_delay_seconds <= 3600
    error_message = "autoheal_delay_seconds is 300 to 3600."
  }
}

variable "public" {
  description = <<-EOT
    The global address for shoppers, if there is to be one: its domain (point its A record at the output `public_address`),
    the address ranges of clients, and how many requests a minute each of them may make.

    The doors ask nobody who he is: whoever may come in can read and write every cart. Name the ranges of your own
    storefronts. `["*"]` lets in the whole world and is only taken with `open_to_the_world = true`.
  EOT
  type = object({
    domain              = string
    client_cidrs        = list(string)
    requests_per_minute = optional(number, 600)
    open_to_the_world   = optional(bool, false)
  })
  default = null
  validation {
    condition     = var.public == null || can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.public.domain))
    error_message = "public.domain is a domain such as carts.example.com."
  }
  validation {
    condition     = var.public == null || try(length(var.public.client_cidrs) > 0, false)
    error_message = "public.client_cidrs is empty: nobody could come in."
  }
  validation {
    condition     = try(var.public.open_to_the_world, true) || try(alltrue([for cidr in var.public.client_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")]), true)
    error_message = "public.client_cidrs lets in the whole world, or is no list of ranges. The doors ask nobody who he is; say open_to_the_world = true if that is meant."
  }
}

variable "internal_client_cidrs" {
  description = "Ranges of the network (or of networks connected to it) whose machines may use the doors privately. The regions' own subnets are always among them."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for cidr in var.internal_client_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "internal_client_cidrs are IPv4 ranges; 0.0.0.0/0 is none: the doors ask nobody who he is."
  }
}

variable "client_networks" {
  description = "Further networks that may resolve the private names."
  type        = list(string)
  default     = []
}

variable "dns_name" {
  description = "Name of the private zone, with its final dot. Each region is found under its own name in it."
  type        = string
  default     = "cartograph.internal."
  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+$", var.dns_name))
    error_message = "dns_name is a domain with a final dot, such as cartograph.internal."
  }
}

variable "certificate_authority" {
  description = <<-EOT
    Who signs the certificates of links between regions. `kind = "own"`: you do, with `cartograph certs` or your own
    authority. `kind = "cas"`: Certificate Authority Service, in `location`; `issuers` are the IAM members who may ask it
    for certificates. Either way a region's certificate and key are one secret, to which the output
    `certificate_commands` adds versions.
  EOT
  type = object({
    kind     = optional(string, "own")
    location = optional(string)
    issuers  = optional(list(string), [])
  })
  default = {}
  validation {
    condition     = contains(["own", "cas"], var.certificate_authority.kind)
    error_message = "certificate_authority.kind is own or cas."
  }
  validation {
    condition     = (var.certificate_authority.kind == "cas") == (var.certificate_authority.location != null)
    error_message = "certificate_authority.location is the region of Certificate Authority Service: given with kind = \"cas\", and only then."
  }
}

variable "certificates" {
  description = "Certificates of links, if Terraform is to put them into the secrets: `ca` and, by region, `identities` (certificate chain and key) in PEM. Write-only: neither plan nor state holds them. A higher `version` writes them again."
  type = object({
    version    = number
    ca         = string
    identities = map(string)
  })
  default   = null
  sensitive = true
  validation {
    condition     = var.certificates == null || try(length(setsubtract(keys(var.regions), keys(var.certificates.identities))) == 0, false)
    error_message = "certificates.identities lacks a region."
  }
}

variable "partition" {
  description = "Chaos days: links to cut, each `{ from, to }` one direction. Both ways are two entries."
  type = list(object({
    from = string
    to   = string
  }))
  default = []
  validation {
    condition     = alltrue([for cut in var.partition : contains(keys(var.regions), cut.from) && contains(keys(var.regions), cut.to) && cut.from != cut.to])
    error_message = "partition cuts links between two different regions of regions."
  }
  validation {
    condition     = length(distinct(var.partition)) == length(var.partition)
    error_message = "partition names a link twice."
  }
}

variable "notification_emails" {
  description = "Who is told of alerts."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for email in var.notification_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", email))])
    error_message = "notification_emails are addresses such as oncall@example.com."
  }
}

variable "runbook_base_url" {
  description = "Where this repository's files can be read in a browser, without a final slash: alerts link docs/operating there."
  type        = string
  default     = "https://example.com/cartograph"
  validation {
    condition     = can(regex("^https?://.*[^/]$", var.runbook_base_url))
    error_message = "runbook_base_url begins with http and has no final slash."
  }
}

variable "kms_keys" {
  description = "Customer-managed keys for disks, stores and secrets, by region; Google's own where none is given. Google's service agents need leave to use them."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Whether stores are protected from being destroyed."
  type        = bool
  default     = true
}

variable "enable_apis" {
  description = "Whether to enable the Google APIs that are needed."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of everything that takes any."
  type        = map(string)
  default     = {}
}
