variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "project_id" {
  description = "The project."
  type        = string
}

variable "network" {
  description = "The network."
  type        = string
}

variable "regions" {
  description = "By region: the node's group, the private address of its doors, and whether it serves clients."
  type = map(object({
    instance_group  = string
    clients_address = string
    serving         = bool
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

variable "dns" {
  description = "The private zone, and its DNS name with the final dot."
  type = object({
    zone = string
    name = string
  })
}

variable "public" {
  description = "The global address: its domain, who may come in, and how often. None without."
  type = object({
    domain              = string
    client_cidrs        = list(string)
    requests_per_minute = number
  })
  default = null
}

variable "labels" {
  description = "Labels of everything that takes any."
  type        = map(string)
  default     = {}
}
