variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "project_id" {
  description = "The project."
  type        = string
}

variable "alert_rules_file" {
  description = "Alert rules in Prometheus's form."
  type        = string
}

variable "dashboard_file" {
  description = "Dashboard in Grafana's form."
  type        = string
}

variable "runbook_base_url" {
  description = "Where the pages that alerts name can be read, without a final slash."
  type        = string
}

variable "notification_emails" {
  description = "Who is told of alerts."
  type        = list(string)
  default     = []
}

variable "public_domain" {
  description = "Domain of the global address, to be asked from outside; none without."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels of everything that takes any."
  type        = map(string)
  default     = {}
}
