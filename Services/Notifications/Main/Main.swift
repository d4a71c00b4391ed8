import NotificationsService
import ServiceKit

@main
struct Main {
    static func main() async { await Launch.run(Notifications.self) }
}
