import Contracts
import Foundation
package import ServiceKit

/// Settings of users alone; README.md has them as a table.
package struct UsersSettings: ServiceSettings {
    let invitationLifetime: TimeInterval
    /// Where an invitation's letter leads; nil for the platform's own address.
    let invitationPage: String?
    /// Addresses whose owners run the platform, once they have shown that the address is theirs.
    let superadmins: [EmailAddress]
    /// `host:port` of the name server that domains are verified with.
    let nameServer: String
    let audit: AuditSettings

    package init(_ reader: inout SettingsReader) {
        audit = AuditSettings(&reader)
        invitationLifetime = TimeInterval(
            reader.integer("USERS_INVITATION_SECONDS", default: 604_800, in: 1...7_776_000, "Life of an invitation"))
        invitationPage = reader.optionalText(
            "USERS_INVITATION_PAGE",
            "Page that an invitation's letter leads to; the token is put behind it (<public URL>/api/v1/auth/invitation?token=)")
        var superadmins: [EmailAddress] = []
        let list = reader.optionalText(
            "USERS_SUPERADMINS", "E-mail addresses, comma-separated, that run the platform once they are verified")
        for part in (list ?? "").split(separator: ",") {
            if let email = EmailAddress(rawValue: String(part).trimmingCharacters(in: .whitespaces)) {
                superadmins.append(email)
            } else {
                reader.refuse("TRIONEX_USERS_SUPERADMINS has something in it that is no e-mail address")
            }
        }
        self.superadmins = superadmins
        let server = reader.optionalText(
            "USERS_DNS_SERVER", "Name server, address:port, that domains are verified with (the machine's own)")
        nameServer = server ?? TXTLookup.systemServer()
        if let server, server.split(separator: ":").last.flatMap({ Int($0) }) == nil {
            reader.refuse("TRIONEX_USERS_DNS_SERVER must be address:port, such as 192.0.2.53:53")
        }
    }
}
