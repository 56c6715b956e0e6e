variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "project_id" {
  description = "The project."
  type        = string
}

variable "regions" {
  description = "Regions of the cluster: id, and whether the store is a virtual machine of ours."
  type = map(object({
    id           = number
    self_managed = bool
  }))
}

variable "artifact_repository" {
  description = "The Artifact Registry repository that holds the image, if nodes need leave to read it."
  type = object({
    project  = string
    location = string
    name     = string
  })
  default = null
}

variable "certificate_authority" {
  description = "Who signs the certificates of links between regions."
  type = object({
    kind     = string
    location = optional(string)
    issuers  = optional(list(string), [])
  })
}

variable "certificates" {
  description = "Certificates to store, if they are not added to the secrets by hand."
  type = object({
    version    = number
    ca         = string
    identities = map(string)
  })
  default   = null
  sensitive = true
}

variable "kms_keys" {
  description = "Customer-managed keys for secrets, by region; Google's own without."
  type        = map(string)
  default     = {}
}

variable "labels" {
  description = "Labels of everything that takes any."
  type        = map(string)
  default     = {}
}
