package import Contracts
package import ServiceKit

/// Tells people things: by mail and in their inbox.
package enum Notifications: Program {
    package static let name = ServiceName.notifications
    package static let port = 8086
    package static let summary = "Sends mail and keeps everybody's inbox."

    package static func assemble(_ settings: NotificationsSettings, _ house: Foundations) throws -> Assembly {
        // Refused settings end the program before it is put together.
        guard let smtp = settings.smtp, let sender = settings.sender else { throw SMTPSettings.Refused(reason: "is not set") }
        let bell = Bell()
        let mailer = SMTPMailer(smtp, greetingName: sender.domain, threads: settings.senders)
        return Assembly(
            endpoints: [
                InboxRoutes(database: house.database).endpoints,
                SendingRoutes(database: house.database, bell: bell).endpoints,
            ],
            consumers: [
                Consumption("people", WelcomePerson(bell: bell), KeepContact(), KeepMember(), ForgetContact(), ForgetMember())
            ],
            workers: [
                DeliverMail(
                    database: house.database, mailer: mailer, sender: sender, schedule: settings.schedule, slots: settings.senders,
                    bell: bell,
                    now: house.now, logger: house.logger)
            ],
            checks: [
                ReadinessCheck("smtp", required: false) {
                    if let trouble = mailer.trouble { throw DependencyFailure("smtp", reason: trouble) }
                }
            ])
    }
}
