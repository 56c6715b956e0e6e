variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "project_id" {
  description = "The project."
  type        = string
}

variable "regions" {
  description = "Address range of each region's subnet, and its accounts."
  type = map(object({
    cidr         = string
    node_account = string
    # Whether the store is a machine of ours; its account is not known before it is made.
    self_managed  = optional(bool, false)
    store_account = optional(string)
  }))
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

variable "dns_name" {
  description = "The private zone, with its final dot."
  type        = string
}

variable "client_cidrs" {
  description = "Ranges in the network, or connected to it, whose machines may use the doors."
  type        = list(string)
}

variable "client_networks" {
  description = "Further networks that may resolve the private zone's names."
  type        = list(string)
  default     = []
}

variable "partition" {
  description = "Links to cut: `from` can no longer reach `to`."
  type = list(object({
    from = string
    to   = string
  }))
  default = []
}

variable "labels" {
  description = "Labels of everything that takes any."
  type        = map(string)
  default     = {}
}
